PRAGMA application_id = 0;
PRAGMA user_version = 10;
BEGIN TRANSACTION;
CREATE TABLE credential_uses (
    credential_id BLOB PRIMARY KEY CHECK (length(credential_id) = 16),
    last_used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "credential_uses" VALUES(X'886CC70B6974E05FAB337C9CA5095B27',1796032800);
CREATE TABLE credentials (
    credential_id BLOB PRIMARY KEY CHECK (length(credential_id) = 16),
    subject TEXT NOT NULL,
    hmac BLOB UNIQUE CHECK (length(hmac) = 32),
    created_at INTEGER NOT NULL,
    disabled_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE "envelopes" (
    secret_id BLOB NOT NULL REFERENCES secrets (secret_id),
    envelope INTEGER NOT NULL CHECK (envelope >= 1),
    state TEXT NOT NULL CHECK (state IN ('pending', 'committed', 'abandoned', 'destroyed')),
    epoch INTEGER NOT NULL CHECK (epoch >= 1),
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    PRIMARY KEY (secret_id, envelope)
) STRICT, WITHOUT ROWID;
INSERT INTO "envelopes" VALUES(X'10E827824134CE698DFAA6911503FC86',1,'committed',1,X'E4A218FA0F9E6F44B80F6FE6D7DC661D144EFC0C862FB4D243ADCE26658393B0');
INSERT INTO "envelopes" VALUES(X'5E3D70EA91F1A0288629DC2380378628',1,'committed',1,X'917721592FC7CE5616357457B515C49C04DFC9779A3D4B42558DDCBCF81277BD');
INSERT INTO "envelopes" VALUES(X'5E3D70EA91F1A0288629DC2380378628',2,'committed',1,X'35B7C7CBCB920DF6B2C4ED10BFBA701B268209A02CC7AA5108273A11F5B93066');
INSERT INTO "envelopes" VALUES(X'5E3D70EA91F1A0288629DC2380378628',3,'committed',1,X'B4F8AB7C9E85FB5EE302E71E4A10A970A2C2284D208FFB87C7AEFEBEF7CE1312');
INSERT INTO "envelopes" VALUES(X'8412350530B6061870D8686981E5A5C4',1,'committed',1,X'AF9A8D2B43DBBC0363BAAAC70FD4ADEF5DBECC98097033A4BFB1D56D7B3FB660');
INSERT INTO "envelopes" VALUES(X'BE7B04BDD0EC5487DCD3DF61843D4826',1,'committed',1,X'2D8BED6655C2D731207426BA04EE78C0E918062A05927E67B27067CC89DD5105');
INSERT INTO "envelopes" VALUES(X'BE7B04BDD0EC5487DCD3DF61843D4826',2,'committed',1,X'0CC5AB529312A6E7C013422F059A0ABABE26099E02903CB5BAF22E8A7D1DD440');
INSERT INTO "envelopes" VALUES(X'DF5A7DA639D87E508BB412A19FF15971',1,'committed',1,X'CFBE33153D361FA270A81AB4E526A40EB2070331C5765AEA33644C44BDAF2263');
INSERT INTO "envelopes" VALUES(X'F194C3FA4C629AD57500941C0F9E358E',1,'destroyed',1,X'5B19577BA93E37AB21F1DFEB8E30214155AD82263605DFC9B6A36B3DA636086F');
CREATE TABLE environments (
    environment_id BLOB PRIMARY KEY CHECK (length(environment_id) = 16),
    name TEXT NOT NULL UNIQUE
, display_name TEXT NOT NULL DEFAULT '', ordinal INTEGER NOT NULL DEFAULT 0, max_token_life_seconds INTEGER NOT NULL DEFAULT 2700, frozen_at INTEGER, disabled_at INTEGER, created_at INTEGER NOT NULL DEFAULT 0, tag BLOB CHECK (length(tag) = 32)) STRICT, WITHOUT ROWID;
INSERT INTO "environments" VALUES(X'05BA47EEB86E2E57149179D0F0CBC940','staging','staging',2,2700,NULL,NULL,1796035466,X'E3354C22A3385E1473A355D2964D3108ABD5BBF82B5442DDE6E65ECFBD27A109');
INSERT INTO "environments" VALUES(X'13415846660FC7EBB69D094F1207A1F8','dev','dev',1,2700,NULL,NULL,1796035466,X'22B9939F1127B42115B23D7AE54872CF95946FE253B30BFA6F0DA0D0EE02EA4B');
INSERT INTO "environments" VALUES(X'87E4D67AB324B65A0662CD3240BD8F12','lab','Laboratory',4,600,1796035468,NULL,1796035468,X'124957EDF2C3C5160333FC49248033C658C3D17C226BCD72EFB7B02855CA5C65');
INSERT INTO "environments" VALUES(X'8CD381A97BACEB356F48165726B6B2B4','closed','closed',5,2700,NULL,1796035468,1796035468,X'B80D7E2D6C78CEB3399C291C56176B8737B967098608902FB55D453A0525C242');
INSERT INTO "environments" VALUES(X'ED6F2570A9AEC1B0D9514CB3CEFC0FBB','production','production',3,2700,NULL,NULL,1796035466,X'D5990C9C93FEC3EFCF5B587A08F3790E11D818AF748041373849678198306F3E');
CREATE TABLE events (
    seq INTEGER PRIMARY KEY CHECK (seq >= 1),
    name TEXT NOT NULL,
    compact TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    issued_at INTEGER NOT NULL
, lasting INTEGER CHECK (lasting IN (0, 1))) STRICT;
INSERT INTO "events" VALUES(1,'credential:crd_RrU8N6bDUWNV4xF3OmG3Lw','eyJhbGciOiJFZERTQSIsInR5cCI6InNlY2V2ZW50K2p3dCIsImtpZCI6Ijc2Nkh6OGFYVzZCVGNIVHRKZC14SkVNTzdJVWpNNDlqWE5YXzhxNDNwaWcifQ.eyJpc3MiOiJ1cm46c3BsaXR2YXVsdDpkZXZlbG9wbWVudDptZ3JfY0ZpbnkyU3JHYWJqWklFUTEwX0hhZyIsImF1ZCI6InZsdF9qSjNyRlROSHlnOURNcEpRX2ZTRG93IiwiaWF0IjoxNzk2MDM1NDY3LCJqdGkiOiJyVDBRM3ljdUJQclVscHYxTnhLekJRIiwic2VxIjoxLCJwcmV2IjoiQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQSIsImxhc3RpbmciOiJBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBIiwiZXZlbnRzIjp7InVybjpzcGxpdHZhdWx0OmV2ZW50OmNyZWRlbnRpYWwiOnsiY2xpZW50X2lkIjoiY3JkX1JyVThONmJEVVdOVjR4RjNPbUczTHcifX19.Db-iuRrcCFlgXRZDwOtbp6fIgoiZa9GCk63eLdAbHiz_qalWcqU9ndIeq6cUKVGgodW2Uev1W7eqsUCDGqdfDQ',X'F36901D624F166C0A8DCE64EF57199664A0C974CBEF51C01D6D79095D3995E41',1796035467,1);
INSERT INTO "events" VALUES(2,'credential:crd_Dklg3bPDgy920HzXqueyoA','eyJhbGciOiJFZERTQSIsInR5cCI6InNlY2V2ZW50K2p3dCIsImtpZCI6Ijc2Nkh6OGFYVzZCVGNIVHRKZC14SkVNTzdJVWpNNDlqWE5YXzhxNDNwaWcifQ.eyJpc3MiOiJ1cm46c3BsaXR2YXVsdDpkZXZlbG9wbWVudDptZ3JfY0ZpbnkyU3JHYWJqWklFUTEwX0hhZyIsImF1ZCI6InZsdF9qSjNyRlROSHlnOURNcEpRX2ZTRG93IiwiaWF0IjoxNzk2MDM1NDY3LCJqdGkiOiJPQkpOUDROWlBpdmRuc3NtbkRtNUtRIiwic2VxIjoyLCJwcmV2IjoiODJrQjFpVHhac0NvM09aTzlYR1paa29NbDB5LTlSd0IxdGVRbGRPWlhrRSIsImxhc3RpbmciOiI4MmtCMWlUeFpzQ28zT1pPOVhHWlprb01sMHktOVJ3QjF0ZVFsZE9aWGtFIiwiZXZlbnRzIjp7InVybjpzcGxpdHZhdWx0OmV2ZW50OmNyZWRlbnRpYWwiOnsiY2xpZW50X2lkIjoiY3JkX0RrbGczYlBEZ3k5MjBIelhxdWV5b0EifX19.5lv7y1kYDOZ_XBuyRfy2tkWtp5Wbub7yaMEG7MgwCoSFjqF3Q08k8rpGxFixfwkbgldVBS0ApUQHRDubN-A3Ag',X'B81C24E393A92544B2E0955B5C4E327D609C053A2862E305EDC065261A21E2F1',1796035467,1);
INSERT INTO "events" VALUES(3,'credential:crd_V2zkwaE7kxELJSjIb9nH6Q','eyJhbGciOiJFZERTQSIsInR5cCI6InNlY2V2ZW50K2p3dCIsImtpZCI6Ijc2Nkh6OGFYVzZCVGNIVHRKZC14SkVNTzdJVWpNNDlqWE5YXzhxNDNwaWcifQ.eyJpc3MiOiJ1cm46c3BsaXR2YXVsdDpkZXZlbG9wbWVudDptZ3JfY0ZpbnkyU3JHYWJqWklFUTEwX0hhZyIsImF1ZCI6InZsdF9qSjNyRlROSHlnOURNcEpRX2ZTRG93IiwiaWF0IjoxNzk2MDM1NDY3LCJqdGkiOiJwaG8tY2NjQU9VR24tOGVKUUQ3ZC1nIiwic2VxIjozLCJwcmV2IjoidUJ3azQ1T3BKVVN5NEpWYlhFNHlmV0NjQlRvb1l1TUY3Y0JsSmhvaDR2RSIsImxhc3RpbmciOiJ1QndrNDVPcEpVU3k0SlZiWEU0eWZXQ2NCVG9vWXVNRjdjQmxKaG9oNHZFIiwiZXZlbnRzIjp7InVybjpzcGxpdHZhdWx0OmV2ZW50OmNyZWRlbnRpYWwiOnsiY2xpZW50X2lkIjoiY3JkX1Yyemt3YUU3a3hFTEpTakliOW5INlEifX19.vcoUciRuv3c5nPBZEvATrB1iQ6UHazO4th1taN3-7Eil0uHJ15XDCjrR_MG26kcyxihfGbzH2p9neivNkLwLCA',X'6A487A1E901E3BE14871A8EE89346BA76948B0BF99ECEC19A9B7B9C93633D4ED',1796035467,1);
INSERT INTO "events" VALUES(4,'environment:env_jNOBqXus6zVvSBZXJraytA','eyJhbGciOiJFZERTQSIsInR5cCI6InNlY2V2ZW50K2p3dCIsImtpZCI6Ijc2Nkh6OGFYVzZCVGNIVHRKZC14SkVNTzdJVWpNNDlqWE5YXzhxNDNwaWcifQ.eyJpc3MiOiJ1cm46c3BsaXR2YXVsdDpkZXZlbG9wbWVudDptZ3JfY0ZpbnkyU3JHYWJqWklFUTEwX0hhZyIsImF1ZCI6InZsdF9qSjNyRlROSHlnOURNcEpRX2ZTRG93IiwiaWF0IjoxNzk2MDM1NDY4LCJqdGkiOiJWWFRGLXhTQkxyMjZ2LWNDMTB4VkhRIiwic2VxIjo0LCJwcmV2IjoiYWtoNkhwQWVPLUZJY2FqdWlUUnJwMmxJc0wtWjdPd1pxYmU1eVRZejFPMCIsImxhc3RpbmciOiJha2g2SHBBZU8tRkljYWp1aVRScnAybElzTC1aN093WnFiZTV5VFl6MU8wIiwiZXZlbnRzIjp7InVybjpzcGxpdHZhdWx0OmV2ZW50OmVudmlyb25tZW50Ijp7ImVudmlyb25tZW50IjoiZW52X2pOT0JxWHVzNnpWdlNCWlhKcmF5dEEifX19.qVti5rGaQ710ZE4pxPygI9bu6Y0VEqH9UFd1y-5Dm-6O9vYIgUEGr7chwIllKEWJUs7EcG4Sq7Hvmkbg7IMmBw',X'85829D31578BC2243BE72B7177F349DA2B1157007D9FFB7AE7FEEB61BA4B6504',1796035468,1);
INSERT INTO "events" VALUES(5,'destroy:env_E0FYRmYPx-u2nQlPEgeh-A:sec_8ZTD-kximtV1AJQcD541jg:1','eyJhbGciOiJFZERTQSIsInR5cCI6InNlY2V2ZW50K2p3dCIsImtpZCI6Ijc2Nkh6OGFYVzZCVGNIVHRKZC14SkVNTzdJVWpNNDlqWE5YXzhxNDNwaWcifQ.eyJpc3MiOiJ1cm46c3BsaXR2YXVsdDpkZXZlbG9wbWVudDptZ3JfY0ZpbnkyU3JHYWJqWklFUTEwX0hhZyIsImF1ZCI6InZsdF9qSjNyRlROSHlnOURNcEpRX2ZTRG93IiwiaWF0IjoxNzk2MDM1NDY4LCJqdGkiOiJKMHNBR3BBZXJ4N3NTcFZablRKZVhBIiwic2VxIjo1LCJwcmV2IjoiaFlLZE1WZUx3aVE3NXl0eGRfTkoyaXNSVndCOW5fdDY1XzdyWWJwTFpRUSIsImxhc3RpbmciOiJoWUtkTVZlTHdpUTc1eXR4ZF9OSjJpc1JWd0I5bl90NjVfN3JZYnBMWlFRIiwiZXZlbnRzIjp7InVybjpzcGxpdHZhdWx0OmV2ZW50OmRlc3Ryb3kiOnsiZW52aXJvbm1lbnQiOiJlbnZfRTBGWVJtWVB4LXUyblFsUEVnZWgtQSIsInNlY3JldF9pZCI6InNlY184WlRELWt4aW10VjFBSlFjRDU0MWpnIiwidmVyc2lvbiI6MX19fQ.m7_rIHzk9DjMUAVzK2AoCFDKAj0RffcXbxkLIBZBAjs9h-RFmXsb0uWf19XZdRji4WN_606mSfgHUBFnpP_KDQ',X'5B827A49789983DA403C5E8733BE227FD18B8FCBD45E9B736FA74D6C2920E558',1796035468,1);
CREATE TABLE idempotency (
    subject TEXT NOT NULL,
    key TEXT NOT NULL,
    secret_id BLOB NOT NULL REFERENCES secrets (secret_id),
    version INTEGER NOT NULL,
    created_at INTEGER NOT NULL, tag BLOB CHECK (length(tag) = 32),
    PRIMARY KEY (subject, key)
) STRICT, WITHOUT ROWID;
INSERT INTO "idempotency" VALUES('svc_TY0b4wJGqCmmGtpKRCqW1g','kept-with-the-release',X'8412350530B6061870D8686981E5A5C4',1,1796035468,X'1028CDC78B892AF0CDD33C9B517E836ED1025DD45D2430E57E45AA5AFEAE7F48');
CREATE TABLE installation (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    mode TEXT NOT NULL CHECK (mode IN ('development', 'production')),
    manager_id BLOB NOT NULL CHECK (length(manager_id) = 16),
    anonymous_credential BLOB NOT NULL CHECK (length(anonymous_credential) = 16)
) STRICT;
INSERT INTO "installation" VALUES(1,'development',X'7058A7CB64AB19A6E3648110D74FC76A',X'1744FED94675B241415F08AAF1EB8035');
CREATE TABLE "lacking_envelopes" (
    secret_id BLOB NOT NULL,
    envelope INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (secret_id, envelope),
    FOREIGN KEY (secret_id, envelope) REFERENCES "envelopes" (secret_id, envelope)
) STRICT, WITHOUT ROWID;
CREATE TABLE pending_revocations (
    position INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL
, tag BLOB CHECK (length(tag) = 32)) STRICT;
CREATE TABLE registry_log (
    number INTEGER PRIMARY KEY CHECK (number >= 1),
    entry TEXT NOT NULL,
    tag BLOB NOT NULL CHECK (length(tag) = 32)
) STRICT;
INSERT INTO "registry_log" VALUES(1,'{"number":1,"before":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","root":"N0nkujxRtxtB7zDB4TghDzMB4tbxaOLs_0P_oe4FOhI","made_at":1796035466,"author":"operator","reason":"init","changes":[{"name":{"kind":"service","id":"svc_TY0b4wJGqCmmGtpKRCqW1g"},"after":{"kind":"service","service_id":"svc_TY0b4wJGqCmmGtpKRCqW1g","name":"administrator","created_at":1796035466}},{"name":{"kind":"role-assignment","id":"asg_TY0b4wJGqCmmGtpKRCqW1g"},"after":{"kind":"role-assignment","assignment_id":"asg_TY0b4wJGqCmmGtpKRCqW1g","party":"svc_TY0b4wJGqCmmGtpKRCqW1g","role":"super_admin","pattern":"**","created_at":1796035466}},{"name":{"kind":"credential","id":"crd_iGzHC2l04F-rM3ycpQlbJw"},"after":{"kind":"credential","credential_id":"crd_iGzHC2l04F-rM3ycpQlbJw","subject":"svc_TY0b4wJGqCmmGtpKRCqW1g","proof":{"type":"opaque","hmac":"9uoXWEfrFOTfYfdoEzsGxZm0yLAqbg0Q3Sd6lNG6LEM"},"created_at":1796035466}},{"name":{"kind":"credential","id":"crd_F0T-2UZ1skFBXwiq8euANQ"},"after":{"kind":"credential","credential_id":"crd_F0T-2UZ1skFBXwiq8euANQ","subject":"svc_hQ92CVxuU42mJlqfOaScoA","proof":{"type":"stranger"},"created_at":1796035466}}]}',X'E5CD89C476D91059DA835E5F3B28C1244CFFB6758C90AB4FA01C939BC77578E5');
INSERT INTO "registry_log" VALUES(2,'{"number":2,"before":"5c2JxHbZEFnag15fOyjBJEz_tnWMkKtPoByTm8d1eOU","root":"Gtok3jzEhXJmMRFbqF9K4MdHaH0Nv2cVw91tXZkbMVY","made_at":1796035467,"author":{"caller":{"principal":"svc_TY0b4wJGqCmmGtpKRCqW1g","credential":"crd_iGzHC2l04F-rM3ycpQlbJw"}},"changes":[{"name":{"kind":"group","id":"grp_zQoVLl7SFC80Cxw_eKS7ag"},"after":{"kind":"group","group_id":"grp_zQoVLl7SFC80Cxw_eKS7ag","name":"engineers","description":"they run it","members":[],"created_at":1796035467}}],"policy":{"number":1,"tag":"5c2JxHbZEFnag15fOyjBJEz_tnWMkKtPoByTm8d1eOU"}}',X'65517E4AE5083F14F3B10153EA430F5FBAB7E8D34DF45DDBB60028B42F479E90');
INSERT INTO "registry_log" VALUES(3,'{"number":3,"before":"ZVF-SuUIPxTzsQFT6kMPX7q36NNN9F3btgAotC9HnpA","root":"8VDuCyyqNYlOy_ipZdQ9VP5ui1rvflm_4iYiE83S6aY","made_at":1796035467,"author":{"caller":{"principal":"svc_TY0b4wJGqCmmGtpKRCqW1g","credential":"crd_iGzHC2l04F-rM3ycpQlbJw"}},"changes":[{"name":{"kind":"service","id":"svc_WF2LK5IY55XTBarR8Nf5KQ"},"after":{"kind":"service","service_id":"svc_WF2LK5IY55XTBarR8Nf5KQ","name":"billing","description":"bills","owner":"grp_zQoVLl7SFC80Cxw_eKS7ag","required":[{"environment":"env_E0FYRmYPx-u2nQlPEgeh-A","pattern":"app/**"}],"created_at":1796035467}}],"policy":{"number":2,"tag":"ZVF-SuUIPxTzsQFT6kMPX7q36NNN9F3btgAotC9HnpA"}}',X'C5F975F49AE60CA4839A2AE2C21306550CD6016640C491600D36CBB31660CD64');
INSERT INTO "registry_log" VALUES(4,'{"number":4,"before":"xfl19JrmDKSDmiriwhMGVQzWAWZAxJFgDTbLsxZgzWQ","root":"JsTii5itcHuG7uKvhBUxG4ODIYkQ6og_PuxVhpAkmIc","made_at":1796035467,"author":{"caller":{"principal":"svc_TY0b4wJGqCmmGtpKRCqW1g","credential":"crd_iGzHC2l04F-rM3ycpQlbJw"}},"reason":"it bills","changes":[{"name":{"kind":"permission","id":"per_i0Wx32KeNyRsCf5VxJYv9g"},"after":{"kind":"permission","permission_id":"per_i0Wx32KeNyRsCf5VxJYv9g","party":"svc_WF2LK5IY55XTBarR8Nf5KQ","effect":"allow","actions":["list","read"],"environment":"env_E0FYRmYPx-u2nQlPEgeh-A","pattern":"app/**","reason":"it bills","author":"svc_TY0b4wJGqCmmGtpKRCqW1g","created_at":1796035467}},{"name":{"kind":"service","id":"svc_WF2LK5IY55XTBarR8Nf5KQ"},"after":{"kind":"service","service_id":"svc_WF2LK5IY55XTBarR8Nf5KQ","name":"billing","description":"bills","owner":"grp_zQoVLl7SFC80Cxw_eKS7ag","required":[{"environment":"env_E0FYRmYPx-u2nQlPEgeh-A","pattern":"app/**"}],"created_at":1796035467,"approved_at":1796035467}}],"policy":{"number":2,"tag":"ZVF-SuUIPxTzsQFT6kMPX7q36NNN9F3btgAotC9HnpA"}}',X'03C4B369046CCF55692E60248915C41053D1BC16747F9C7842D583E88F4FCC82');
INSERT INTO "registry_log" VALUES(5,'{"number":5,"before":"A8SzaQRsz1VpLmAkiRXEEFPRvBZ0f5x4QtWD6I9PzII","root":"n6j0exoD5qjm9-lU5mCnAaeOBNYw6V1BMMORGdf_Ok0","made_at":1796035467,"author":{"caller":{"principal":"svc_TY0b4wJGqCmmGtpKRCqW1g","credential":"crd_iGzHC2l04F-rM3ycpQlbJw"}},"changes":[{"name":{"kind":"credential","id":"crd_V2zkwaE7kxELJSjIb9nH6Q"},"after":{"kind":"credential","credential_id":"crd_V2zkwaE7kxELJSjIb9nH6Q","subject":"svc_WF2LK5IY55XTBarR8Nf5KQ","proof":{"type":"opaque","hmac":"sDe7KKdXfooayrdsoRYjiR3Yu8c2mW66pPLReQWRREk"},"name":"host 1","created_at":1796035467,"expires_at":1827571467,"allowed_addresses":["127.0.0.0/8"]}}],"policy":{"number":4,"tag":"A8SzaQRsz1VpLmAkiRXEEFPRvBZ0f5x4QtWD6I9PzII"}}',X'E07D28A1482A6154B741F9335C4917E8DA337E765060EF9C4EA6F0B1AFCF8289');
INSERT INTO "registry_log" VALUES(6,'{"number":6,"before":"4H0ooUgqYVS3QfkzXEkX6NozfnZQYO-cTqbwsa_Pgok","root":"XwgGA5o5q2q12ToL9qBZaDFTbWfAEt4fL_64nEKeXdw","made_at":1796035467,"author":{"caller":{"principal":"svc_TY0b4wJGqCmmGtpKRCqW1g","credential":"crd_iGzHC2l04F-rM3ycpQlbJw"}},"changes":[{"name":{"kind":"credential","id":"crd_RrU8N6bDUWNV4xF3OmG3Lw"},"after":{"kind":"credential","credential_id":"crd_RrU8N6bDUWNV4xF3OmG3Lw","subject":"svc_WF2LK5IY55XTBarR8Nf5KQ","proof":{"type":"opaque","hmac":"mMCe79V8QoA4Ves39fDZG9QB1SyG1afLYmsC1Q6SIY0"},"name":"host 2","created_at":1796035467,"expires_at":1827571467,"allowed_addresses":["127.0.0.0/8"]}}],"policy":{"number":4,"tag":"A8SzaQRsz1VpLmAkiRXEEFPRvBZ0f5x4QtWD6I9PzII"}}',X'74CC84AF276F30CFA88A0D8AD7D6F455BD22D62381F439179F84F352CA885756');
INSERT INTO "registry_log" VALUES(7,'{"number":7,"before":"dMyErydvMM-oig2K19b0Vb0i1iOB9DkXn4TzUsqIV1Y","root":"it426wvsZQ303zMT1RlPFBBMoweLoiwr1N5KlJw_br8","made_at":1796035467,"author":{"caller":{"principal":"svc_TY0b4wJGqCmmGtpKRCqW1g","credential":"crd_iGzHC2l04F-rM3ycpQlbJw"}},"changes":[{"name":{"kind":"credential","id":"crd_RrU8N6bDUWNV4xF3OmG3Lw"},"after":{"kind":"credential","credential_id":"crd_RrU8N6bDUWNV4xF3OmG3Lw","subject":"svc_WF2LK5IY55XTBarR8Nf5KQ","proof":{"type":"opaque","hmac":"mMCe79V8QoA4Ves39fDZG9QB1SyG1afLYmsC1Q6SIY0"},"name":"host 2","created_at":1796035467,"expires_at":1827571467,"disabled_at":1796035467,"allowed_addresses":["127.0.0.0/8"]}}],"policy":{"number":4,"tag":"A8SzaQRsz1VpLmAkiRXEEFPRvBZ0f5x4QtWD6I9PzII"}}',X'12031933CDF03767929C3376FF5A7DC5985DA16340E6666A9EAB5EBDC75B06FB');
INSERT INTO "registry_log" VALUES(8,'{"number":8,"before":"EgMZM83wN2eSnDN2_1p9xZhdoWNA5mZqnqtevcdbBvs","root":"u88Jnu_Y6scpePxX3pWk5PvIfCmbJYs0tFrq3qALG3M","made_at":1796035467,"author":{"caller":{"principal":"svc_TY0b4wJGqCmmGtpKRCqW1g","credential":"crd_iGzHC2l04F-rM3ycpQlbJw"}},"changes":[{"name":{"kind":"service","id":"svc_OX6lQXxLDCHeFapF_Em1KQ"},"after":{"kind":"service","service_id":"svc_OX6lQXxLDCHeFapF_Em1KQ","name":"retired","created_at":1796035467}}],"policy":{"number":4,"tag":"A8SzaQRsz1VpLmAkiRXEEFPRvBZ0f5x4QtWD6I9PzII"}}',X'1D3D623E67974EF7C975457C4DCB0F61BEAA139ABBC02E5CEB67B42ECE6D1955');
INSERT INTO "registry_log" VALUES(9,'{"number":9,"before":"HT1iPmeXTvfJdUV8TcsPYb6qE5q7wC5c62e0Ls5tGVU","root":"GMmAJFExc2F2YUV30dyJX0A81wG9TAxt5rnEU9e8RuQ","made_at":1796035467,"author":{"caller":{"principal":"svc_TY0b4wJGqCmmGtpKRCqW1g","credential":"crd_iGzHC2l04F-rM3ycpQlbJw"}},"changes":[{"name":{"kind":"service","id":"svc_OX6lQXxLDCHeFapF_Em1KQ"},"after":{"kind":"service","service_id":"svc_OX6lQXxLDCHeFapF_Em1KQ","name":"retired","created_at":1796035467,"disabled_at":1796035467}}],"policy":{"number":4,"tag":"A8SzaQRsz1VpLmAkiRXEEFPRvBZ0f5x4QtWD6I9PzII"}}',X'A74FBA00AD4E3DB927E91BCA77A52148AE1449179C03922BF14ED5A6A9F53430');
INSERT INTO "registry_log" VALUES(10,'{"number":10,"before":"p0-6AK1OPbkn6RvKd6UhSK4USRecA5Ir8U7Vpqn1NDA","root":"6KI_Hp8buFLPjgxo-zqY2v3riKCm-MBsEsMVPMeZmK4","made_at":1796035467,"author":{"caller":{"principal":"svc_TY0b4wJGqCmmGtpKRCqW1g","credential":"crd_iGzHC2l04F-rM3ycpQlbJw"}},"changes":[{"name":{"kind":"credential","id":"crd_Dklg3bPDgy920HzXqueyoA"},"after":{"kind":"credential","credential_id":"crd_Dklg3bPDgy920HzXqueyoA","subject":"svc_WF2LK5IY55XTBarR8Nf5KQ","proof":{"type":"trust","definition":{"kind":"generic","issuer":"https://issuer.example","audience":"https://manager.example:8000","keys":{"pinned":"{\"keys\":[{\"alg\":\"ES256\",\"crv\":\"P-256\",\"kid\":\"1\",\"kty\":\"EC\",\"use\":\"sig\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}"},"claims":[{"claim":"sub","exact":"project:acme/shop:main"}]}},"name":"ci","created_at":1796035467}}],"policy":{"number":4,"tag":"A8SzaQRsz1VpLmAkiRXEEFPRvBZ0f5x4QtWD6I9PzII"}}',X'8AE8E146068B8252F5A8EE66873964F77BF85389A3D192A768502F35F27DC9D1');
INSERT INTO "registry_log" VALUES(11,'{"number":11,"before":"iujhRgaLglL1qO5mhzlk93v4U4mj0ZKnaFAvNfJ9ydE","root":"jSZ9aPI74G3OTzRPWChBP5geW49cF8ZXQAHSOa2jC0Y","made_at":1796035467,"author":{"caller":{"principal":"svc_TY0b4wJGqCmmGtpKRCqW1g","credential":"crd_iGzHC2l04F-rM3ycpQlbJw"}},"changes":[{"name":{"kind":"person","id":"usr_JY9LBFWiENTaReRHQVGvJA"},"after":{"kind":"person","person_id":"usr_JY9LBFWiENTaReRHQVGvJA","name":"ann","display_name":"Ann","created_at":1796035467}}],"policy":{"number":4,"tag":"A8SzaQRsz1VpLmAkiRXEEFPRvBZ0f5x4QtWD6I9PzII"}}',X'F7960B1DB3FA244B0F84C8810AF6B12B4EFDEA939199A4236BC03876E2480999');
INSERT INTO "registry_log" VALUES(12,'{"number":12,"before":"95YLHbP6JEsPhMiBCvaxK0796pORmaQja8A4duJICZk","root":"aCAbOFeb4KJ_AABONkw2iS85njK4d2DkZROBRZKerXM","made_at":1796035467,"author":{"caller":{"principal":"svc_TY0b4wJGqCmmGtpKRCqW1g","credential":"crd_iGzHC2l04F-rM3ycpQlbJw"}},"changes":[{"name":{"kind":"enrolment","id":"enr_GeTxoznH1PuHNQcDc2-a3Q"},"after":{"kind":"enrolment","enrolment_id":"enr_GeTxoznH1PuHNQcDc2-a3Q","hmac":"MmaP4km46J-aIdI9r4W4i-qtcHMTm6cmVlTupFRV4lE","subject":"usr_JY9LBFWiENTaReRHQVGvJA","author":"svc_TY0b4wJGqCmmGtpKRCqW1g","author_credential":"crd_iGzHC2l04F-rM3ycpQlbJw","created_at":1796035467,"expires_at":1796036367}}],"policy":{"number":4,"tag":"A8SzaQRsz1VpLmAkiRXEEFPRvBZ0f5x4QtWD6I9PzII"}}',X'52A1BF05BE7D8EA46462A80BED88B26D5B2C379F2664158223D8B439D94982CD');
INSERT INTO "registry_log" VALUES(13,'{"number":13,"before":"UqG_Bb59jqRkYqgL7YiybVssN58mZBWCI9i0OdlJgs0","root":"pTDu-EnfpRMOveP0vH1ksYf1gUePCN84a2h2uwTKH0Q","made_at":1796035467,"author":{"caller":{"principal":"usr_JY9LBFWiENTaReRHQVGvJA","credential":"crd_AAAAAAAAAAAAAAAAAAAAAA"}},"reason":"enrolled","changes":[{"name":{"kind":"enrolment","id":"enr_GeTxoznH1PuHNQcDc2-a3Q"}},{"name":{"kind":"sign-on","id":"sgn_JY9LBFWiENTaReRHQVGvJA"},"after":{"kind":"sign-on","sign_on_id":"sgn_JY9LBFWiENTaReRHQVGvJA","password":"$argon2id$v=19$m=19456,t=2,p=1$I7SP0ggLu0BVPZCOk/PfyA$ClmlbI7NiCrJ8oVU3I2b39MjrA2RlkO2QOw5zk66St8","password_changed_at":1796035467}}],"policy":{"number":4,"tag":"A8SzaQRsz1VpLmAkiRXEEFPRvBZ0f5x4QtWD6I9PzII"}}',X'799D737076291E2709B8C947FF28ADAF67764D196A784766ED21D44F5B0476B2');
INSERT INTO "registry_log" VALUES(14,'{"number":14,"before":"eZ1zcHYpHicJuMlH_yitr2d2TRlqeEdm7SHUT1sEdrI","root":"PaDkpb1Sw_3IiVkYXaK7gkmyn4Q3M0Gl3z0tEWqy5VM","made_at":1796035467,"author":{"caller":{"principal":"svc_TY0b4wJGqCmmGtpKRCqW1g","credential":"crd_iGzHC2l04F-rM3ycpQlbJw"}},"reason":"the team","changes":[{"name":{"kind":"group","id":"grp_zQoVLl7SFC80Cxw_eKS7ag"},"after":{"kind":"group","group_id":"grp_zQoVLl7SFC80Cxw_eKS7ag","name":"engineers","description":"they run it","members":["usr_JY9LBFWiENTaReRHQVGvJA","svc_WF2LK5IY55XTBarR8Nf5KQ"],"created_at":1796035467}}],"policy":{"number":4,"tag":"A8SzaQRsz1VpLmAkiRXEEFPRvBZ0f5x4QtWD6I9PzII"},"replaced":[{"kind":"group","group_id":"grp_zQoVLl7SFC80Cxw_eKS7ag","name":"engineers","description":"they run it","members":[],"created_at":1796035467}]}',X'ECD35C51D1A622ECB5910DD53FAEA35292FC3CB0C8C7220F734074C1C224A14C');
INSERT INTO "registry_log" VALUES(15,'{"number":15,"before":"7NNcUdGmIuy1kQ3VP66jUpL8PLDIxyIPc0B0wcIkoUw","root":"KrVlzPEz9M9vVkDTdsN8vT8-BPuE4jSmvpaVpUFdcvQ","made_at":1796035467,"author":{"caller":{"principal":"svc_TY0b4wJGqCmmGtpKRCqW1g","credential":"crd_iGzHC2l04F-rM3ycpQlbJw"}},"reason":"reads","changes":[{"name":{"kind":"role-assignment","id":"asg_TMJLOVZun3iRma0UAMsuAA"},"after":{"kind":"role-assignment","assignment_id":"asg_TMJLOVZun3iRma0UAMsuAA","party":"grp_zQoVLl7SFC80Cxw_eKS7ag","role":"service_user","environment":"env_E0FYRmYPx-u2nQlPEgeh-A","pattern":"team/**","reason":"reads","author":"svc_TY0b4wJGqCmmGtpKRCqW1g","created_at":1796035467}}],"policy":{"number":14,"tag":"7NNcUdGmIuy1kQ3VP66jUpL8PLDIxyIPc0B0wcIkoUw"}}',X'CE461E0C49BE08A886F80384DD973EC87735A1A26E4BAFFD8CCDD08CB33D13F2');
INSERT INTO "registry_log" VALUES(16,'{"number":16,"before":"zkYeDEm-CKiG-AOE3Zc-yHc1oaJuS6_9jM3QjLM9E_I","root":"c9eBkBckRbJo0d8mk5RiYkXGbvYDckS-_mrZMQ7i11g","made_at":1796035467,"author":{"caller":{"principal":"svc_TY0b4wJGqCmmGtpKRCqW1g","credential":"crd_iGzHC2l04F-rM3ycpQlbJw"}},"reason":"not for programs","changes":[{"name":{"kind":"permission","id":"per_JHqkZorS_xkBJHytwNwbUA"},"after":{"kind":"permission","permission_id":"per_JHqkZorS_xkBJHytwNwbUA","party":"svc_WF2LK5IY55XTBarR8Nf5KQ","effect":"deny","actions":["read"],"environment":"env_E0FYRmYPx-u2nQlPEgeh-A","pattern":"app/closed/**","reason":"not for programs","author":"svc_TY0b4wJGqCmmGtpKRCqW1g","created_at":1796035467}}],"policy":{"number":15,"tag":"zkYeDEm-CKiG-AOE3Zc-yHc1oaJuS6_9jM3QjLM9E_I"}}',X'B4687F9F9EE379797668EAE2A6CFDA96C6EDD42BEE2C587D3FE610BA9F630AA6');
INSERT INTO "registry_log" VALUES(17,'{"number":17,"before":"tGh_n57jeXl2aOrips_alsbt1CvuLFh9P-YQup9jCqY","root":"nF2oJ7Y_ep9IShSkDR6qiviVPv_4cJIfbwIHXRRUY5A","made_at":1796035468,"author":{"caller":{"principal":"svc_TY0b4wJGqCmmGtpKRCqW1g","credential":"crd_iGzHC2l04F-rM3ycpQlbJw"}},"changes":[{"name":{"kind":"settings","id":"rate-limits"},"after":{"kind":"settings","settings_id":"rate-limits","rate_limits":{"principal":{"per_second":500,"burst":900},"address":{"per_second":2000,"burst":4000}}}}],"policy":{"number":16,"tag":"tGh_n57jeXl2aOrips_alsbt1CvuLFh9P-YQup9jCqY"}}',X'4A8B25C85D8649F78D8D3F2F27F1E87A7230D190E26F1BED48A1E4B7EE10F290');
CREATE TABLE registry_records (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
INSERT INTO "registry_records" VALUES('credential','crd_Dklg3bPDgy920HzXqueyoA','{"kind":"credential","credential_id":"crd_Dklg3bPDgy920HzXqueyoA","subject":"svc_WF2LK5IY55XTBarR8Nf5KQ","proof":{"type":"trust","definition":{"kind":"generic","issuer":"https://issuer.example","audience":"https://manager.example:8000","keys":{"pinned":"{\"keys\":[{\"alg\":\"ES256\",\"crv\":\"P-256\",\"kid\":\"1\",\"kty\":\"EC\",\"use\":\"sig\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}"},"claims":[{"claim":"sub","exact":"project:acme/shop:main"}]}},"name":"ci","created_at":1796035467}');
INSERT INTO "registry_records" VALUES('credential','crd_F0T-2UZ1skFBXwiq8euANQ','{"kind":"credential","credential_id":"crd_F0T-2UZ1skFBXwiq8euANQ","subject":"svc_hQ92CVxuU42mJlqfOaScoA","proof":{"type":"stranger"},"created_at":1796035466}');
INSERT INTO "registry_records" VALUES('credential','crd_RrU8N6bDUWNV4xF3OmG3Lw','{"kind":"credential","credential_id":"crd_RrU8N6bDUWNV4xF3OmG3Lw","subject":"svc_WF2LK5IY55XTBarR8Nf5KQ","proof":{"type":"opaque","hmac":"mMCe79V8QoA4Ves39fDZG9QB1SyG1afLYmsC1Q6SIY0"},"name":"host 2","created_at":1796035467,"expires_at":1827571467,"disabled_at":1796035467,"allowed_addresses":["127.0.0.0/8"]}');
INSERT INTO "registry_records" VALUES('credential','crd_V2zkwaE7kxELJSjIb9nH6Q','{"kind":"credential","credential_id":"crd_V2zkwaE7kxELJSjIb9nH6Q","subject":"svc_WF2LK5IY55XTBarR8Nf5KQ","proof":{"type":"opaque","hmac":"sDe7KKdXfooayrdsoRYjiR3Yu8c2mW66pPLReQWRREk"},"name":"host 1","created_at":1796035467,"expires_at":1827571467,"allowed_addresses":["127.0.0.0/8"]}');
INSERT INTO "registry_records" VALUES('credential','crd_iGzHC2l04F-rM3ycpQlbJw','{"kind":"credential","credential_id":"crd_iGzHC2l04F-rM3ycpQlbJw","subject":"svc_TY0b4wJGqCmmGtpKRCqW1g","proof":{"type":"opaque","hmac":"9uoXWEfrFOTfYfdoEzsGxZm0yLAqbg0Q3Sd6lNG6LEM"},"created_at":1796035466}');
INSERT INTO "registry_records" VALUES('group','grp_zQoVLl7SFC80Cxw_eKS7ag','{"kind":"group","group_id":"grp_zQoVLl7SFC80Cxw_eKS7ag","name":"engineers","description":"they run it","members":["usr_JY9LBFWiENTaReRHQVGvJA","svc_WF2LK5IY55XTBarR8Nf5KQ"],"created_at":1796035467}');
INSERT INTO "registry_records" VALUES('permission','per_JHqkZorS_xkBJHytwNwbUA','{"kind":"permission","permission_id":"per_JHqkZorS_xkBJHytwNwbUA","party":"svc_WF2LK5IY55XTBarR8Nf5KQ","effect":"deny","actions":["read"],"environment":"env_E0FYRmYPx-u2nQlPEgeh-A","pattern":"app/closed/**","reason":"not for programs","author":"svc_TY0b4wJGqCmmGtpKRCqW1g","created_at":1796035467}');
INSERT INTO "registry_records" VALUES('permission','per_i0Wx32KeNyRsCf5VxJYv9g','{"kind":"permission","permission_id":"per_i0Wx32KeNyRsCf5VxJYv9g","party":"svc_WF2LK5IY55XTBarR8Nf5KQ","effect":"allow","actions":["list","read"],"environment":"env_E0FYRmYPx-u2nQlPEgeh-A","pattern":"app/**","reason":"it bills","author":"svc_TY0b4wJGqCmmGtpKRCqW1g","created_at":1796035467}');
INSERT INTO "registry_records" VALUES('person','usr_JY9LBFWiENTaReRHQVGvJA','{"kind":"person","person_id":"usr_JY9LBFWiENTaReRHQVGvJA","name":"ann","display_name":"Ann","created_at":1796035467}');
INSERT INTO "registry_records" VALUES('role-assignment','asg_TMJLOVZun3iRma0UAMsuAA','{"kind":"role-assignment","assignment_id":"asg_TMJLOVZun3iRma0UAMsuAA","party":"grp_zQoVLl7SFC80Cxw_eKS7ag","role":"service_user","environment":"env_E0FYRmYPx-u2nQlPEgeh-A","pattern":"team/**","reason":"reads","author":"svc_TY0b4wJGqCmmGtpKRCqW1g","created_at":1796035467}');
INSERT INTO "registry_records" VALUES('role-assignment','asg_TY0b4wJGqCmmGtpKRCqW1g','{"kind":"role-assignment","assignment_id":"asg_TY0b4wJGqCmmGtpKRCqW1g","party":"svc_TY0b4wJGqCmmGtpKRCqW1g","role":"super_admin","pattern":"**","created_at":1796035466}');
INSERT INTO "registry_records" VALUES('service','svc_OX6lQXxLDCHeFapF_Em1KQ','{"kind":"service","service_id":"svc_OX6lQXxLDCHeFapF_Em1KQ","name":"retired","created_at":1796035467,"disabled_at":1796035467}');
INSERT INTO "registry_records" VALUES('service','svc_TY0b4wJGqCmmGtpKRCqW1g','{"kind":"service","service_id":"svc_TY0b4wJGqCmmGtpKRCqW1g","name":"administrator","created_at":1796035466}');
INSERT INTO "registry_records" VALUES('service','svc_WF2LK5IY55XTBarR8Nf5KQ','{"kind":"service","service_id":"svc_WF2LK5IY55XTBarR8Nf5KQ","name":"billing","description":"bills","owner":"grp_zQoVLl7SFC80Cxw_eKS7ag","required":[{"environment":"env_E0FYRmYPx-u2nQlPEgeh-A","pattern":"app/**"}],"created_at":1796035467,"approved_at":1796035467}');
INSERT INTO "registry_records" VALUES('settings','rate-limits','{"kind":"settings","settings_id":"rate-limits","rate_limits":{"principal":{"per_second":500,"burst":900},"address":{"per_second":2000,"burst":4000}}}');
INSERT INTO "registry_records" VALUES('sign-on','sgn_JY9LBFWiENTaReRHQVGvJA','{"kind":"sign-on","sign_on_id":"sgn_JY9LBFWiENTaReRHQVGvJA","password":"$argon2id$v=19$m=19456,t=2,p=1$I7SP0ggLu0BVPZCOk/PfyA$ClmlbI7NiCrJ8oVU3I2b39MjrA2RlkO2QOw5zk66St8","password_changed_at":1796035467}');
CREATE TABLE root_key_rotations (
    environment_id BLOB NOT NULL REFERENCES environments (environment_id),
    epoch INTEGER NOT NULL CHECK (epoch >= 1),
    changed_at INTEGER NOT NULL,
    retirement TEXT,
    PRIMARY KEY (environment_id, epoch)
) STRICT, WITHOUT ROWID;
CREATE TABLE secrets (
    secret_id BLOB PRIMARY KEY CHECK (length(secret_id) = 16),
    environment_id BLOB NOT NULL REFERENCES environments (environment_id),
    path TEXT NOT NULL,
    created_at INTEGER NOT NULL, tag BLOB CHECK (length(tag) = 32),
    UNIQUE (environment_id, path)
) STRICT, WITHOUT ROWID;
INSERT INTO "secrets" VALUES(X'10E827824134CE698DFAA6911503FC86',X'13415846660FC7EBB69D094F1207A1F8','team/note',1796035468,X'F3028564342CF5F50920823B2CF66BAF20C88E2044B3E49A6A869712011DF5DD');
INSERT INTO "secrets" VALUES(X'5E3D70EA91F1A0288629DC2380378628',X'13415846660FC7EBB69D094F1207A1F8','app/db/password',1796035468,X'F29A1F16B80635FAE985FF40E92F99E59BDE7F1BA6AB3C3D8076A4845496A3C2');
INSERT INTO "secrets" VALUES(X'8412350530B6061870D8686981E5A5C4',X'13415846660FC7EBB69D094F1207A1F8','app/repeated',1796035468,X'50D6D1B8F21F0DD1C5642026807AE2E13E450902669E89D351C2C1A24AE4F865');
INSERT INTO "secrets" VALUES(X'BE7B04BDD0EC5487DCD3DF61843D4826',X'87E4D67AB324B65A0662CD3240BD8F12','one/two',1796035468,X'A1D04E5C225A8B70889A37DC1F53669B7D2248A36F08E33F6D7401D41165D3C9');
INSERT INTO "secrets" VALUES(X'DF5A7DA639D87E508BB412A19FF15971',X'13415846660FC7EBB69D094F1207A1F8','app/closed/key',1796035468,X'BC9C95D3DDD035150F11AEAC8E1843081EDE4C4D84565D5CF01BA99123160281');
INSERT INTO "secrets" VALUES(X'F194C3FA4C629AD57500941C0F9E358E',X'13415846660FC7EBB69D094F1207A1F8','app/gone',1796035468,X'489FCD19EF0F83F7E4857DFAADE6ABDFA4C7D9898C84A6EDDB24AB07B881060A');
CREATE TABLE subjects (
    label TEXT PRIMARY KEY,
    subject TEXT NOT NULL UNIQUE
, tag BLOB CHECK (length(tag) = 32)) STRICT, WITHOUT ROWID;
INSERT INTO "subjects" VALUES('user123','usr_A3WyH45mhuCd8SXRS3FHVQ',X'6D6677A0C2CA9D2B902D99A2428890C698630DCFE086F27DA7B93BB91BDBCD76');
CREATE TABLE tokens (
    jti BLOB PRIMARY KEY CHECK (length(jti) = 16),
    subject TEXT NOT NULL,
    credential_id BLOB NOT NULL,
    environment_id BLOB NOT NULL REFERENCES environments (environment_id),
    grants TEXT NOT NULL,
    versions TEXT,
    rseq INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "tokens" VALUES(X'1EF3EE457F21546176A50DD8EA9FC612','usr_A3WyH45mhuCd8SXRS3FHVQ',X'886CC70B6974E05FAB337C9CA5095B27',X'13415846660FC7EBB69D094F1207A1F8','[["Xj1w6pHxoCiGKdwjgDeGKA",2]]','[2]',4,1796035468,1796036368);
INSERT INTO "tokens" VALUES(X'7E66C208BB1784CD8D37B4B79DA6468C','usr_A3WyH45mhuCd8SXRS3FHVQ',X'886CC70B6974E05FAB337C9CA5095B27',X'13415846660FC7EBB69D094F1207A1F8','[["8ZTD-kximtV1AJQcD541jg",1]]','[1]',4,1796035468,1796036368);
INSERT INTO "tokens" VALUES(X'8CAB5C1A1A841F7227041FE1F7B663A2','usr_A3WyH45mhuCd8SXRS3FHVQ',X'886CC70B6974E05FAB337C9CA5095B27',X'87E4D67AB324B65A0662CD3240BD8F12','[["vnsEvdDsVIfc099hhD1IJg",1]]','[1]',4,1796035468,1796036068);
INSERT INTO "tokens" VALUES(X'90C9AD201BADA490AF66D0634195E430','usr_A3WyH45mhuCd8SXRS3FHVQ',X'886CC70B6974E05FAB337C9CA5095B27',X'13415846660FC7EBB69D094F1207A1F8','[["EOgngkE0zmmN-qaRFQP8hg",1]]','[1]',4,1796035468,1796036368);
INSERT INTO "tokens" VALUES(X'9FAE218157500D52F8170C16329805A9','usr_A3WyH45mhuCd8SXRS3FHVQ',X'886CC70B6974E05FAB337C9CA5095B27',X'13415846660FC7EBB69D094F1207A1F8','[["Xj1w6pHxoCiGKdwjgDeGKA",3]]','[3]',4,1796035468,1796036368);
INSERT INTO "tokens" VALUES(X'A7CED23BB89E9BACE73D39F36E93DCD3','usr_A3WyH45mhuCd8SXRS3FHVQ',X'886CC70B6974E05FAB337C9CA5095B27',X'13415846660FC7EBB69D094F1207A1F8','[["hBI1BTC2Bhhw2GhpgeWlxA",1]]','[1]',5,1796035468,1796036368);
INSERT INTO "tokens" VALUES(X'C4D34AC572146903C84AB74E56E64BCD','usr_A3WyH45mhuCd8SXRS3FHVQ',X'886CC70B6974E05FAB337C9CA5095B27',X'13415846660FC7EBB69D094F1207A1F8','[["Xj1w6pHxoCiGKdwjgDeGKA",1]]','[1]',4,1796035468,1796036368);
INSERT INTO "tokens" VALUES(X'D58CFDDD8C63189A17569057877DCEC4','usr_A3WyH45mhuCd8SXRS3FHVQ',X'886CC70B6974E05FAB337C9CA5095B27',X'13415846660FC7EBB69D094F1207A1F8','[["31p9pjnYflCLtBKhn_FZcQ",1]]','[1]',4,1796035468,1796036368);
INSERT INTO "tokens" VALUES(X'E3BDCDBD97578C21207506DECBD3452B','usr_A3WyH45mhuCd8SXRS3FHVQ',X'886CC70B6974E05FAB337C9CA5095B27',X'87E4D67AB324B65A0662CD3240BD8F12','[["vnsEvdDsVIfc099hhD1IJg",2]]','[2]',4,1796035468,1796036068);
CREATE TABLE versions (
    secret_id BLOB NOT NULL REFERENCES secrets (secret_id),
    version INTEGER NOT NULL,
    envelope INTEGER NOT NULL CHECK (envelope <= version),
    state TEXT NOT NULL CHECK (state IN ('pending', 'committed', 'abandoned', 'destroyed')),
    created_at INTEGER NOT NULL,
    PRIMARY KEY (secret_id, version),
    FOREIGN KEY (secret_id, envelope) REFERENCES envelopes (secret_id, envelope)
) STRICT, WITHOUT ROWID;
INSERT INTO "versions" VALUES(X'10E827824134CE698DFAA6911503FC86',1,1,'committed',1796035468);
INSERT INTO "versions" VALUES(X'5E3D70EA91F1A0288629DC2380378628',1,1,'committed',1796035468);
INSERT INTO "versions" VALUES(X'5E3D70EA91F1A0288629DC2380378628',2,2,'committed',1796035468);
INSERT INTO "versions" VALUES(X'5E3D70EA91F1A0288629DC2380378628',3,3,'committed',1796035468);
INSERT INTO "versions" VALUES(X'5E3D70EA91F1A0288629DC2380378628',4,1,'committed',1796035468);
INSERT INTO "versions" VALUES(X'8412350530B6061870D8686981E5A5C4',1,1,'committed',1796035468);
INSERT INTO "versions" VALUES(X'BE7B04BDD0EC5487DCD3DF61843D4826',1,1,'committed',1796035468);
INSERT INTO "versions" VALUES(X'BE7B04BDD0EC5487DCD3DF61843D4826',2,2,'committed',1796035468);
INSERT INTO "versions" VALUES(X'DF5A7DA639D87E508BB412A19FF15971',1,1,'committed',1796035468);
INSERT INTO "versions" VALUES(X'F194C3FA4C629AD57500941C0F9E358E',1,1,'destroyed',1796035468);
CREATE INDEX events_name ON events (name);
CREATE INDEX idempotency_age ON idempotency (created_at);
CREATE INDEX events_lasting ON events (lasting, seq);
CREATE UNIQUE INDEX environments_ordinal ON environments (ordinal);
CREATE INDEX versions_pending ON versions (created_at) WHERE state = 'pending';
CREATE INDEX versions_rolled_back ON versions (secret_id, envelope) WHERE envelope <> version;
CREATE INDEX tokens_expiry ON tokens (expires_at);
CREATE INDEX tokens_of_credential ON tokens (credential_id, jti);
COMMIT;
