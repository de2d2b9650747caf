SELECT pg_catalog.set_config('search_path', '', false);
CREATE TABLE public.credential_uses (
    credential_id bytea NOT NULL,
    last_used_at bigint NOT NULL,
    CONSTRAINT credential_uses_credential_id_check CHECK ((octet_length(credential_id) = 16))
);
CREATE TABLE public.credentials (
    credential_id bytea NOT NULL,
    subject text NOT NULL COLLATE pg_catalog."C",
    hmac bytea,
    created_at bigint NOT NULL,
    disabled_at bigint,
    CONSTRAINT credentials_credential_id_check CHECK ((octet_length(credential_id) = 16)),
    CONSTRAINT credentials_hmac_check CHECK ((octet_length(hmac) = 32))
);
CREATE TABLE public.envelopes (
    secret_id bytea NOT NULL,
    envelope bigint NOT NULL,
    state text NOT NULL COLLATE pg_catalog."C",
    epoch bigint NOT NULL,
    digest bytea NOT NULL,
    CONSTRAINT versions_digest_check CHECK ((octet_length(digest) = 32)),
    CONSTRAINT versions_epoch_check CHECK ((epoch >= 1)),
    CONSTRAINT versions_state_check CHECK ((state = ANY (ARRAY['pending'::text, 'committed'::text, 'abandoned'::text, 'destroyed'::text]))),
    CONSTRAINT versions_version_check CHECK ((envelope >= 1))
);
CREATE TABLE public.environments (
    environment_id bytea NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    display_name text DEFAULT ''::text NOT NULL COLLATE pg_catalog."C",
    ordinal bigint DEFAULT 0 NOT NULL,
    max_token_life_seconds bigint DEFAULT 2700 NOT NULL,
    frozen_at bigint,
    disabled_at bigint,
    created_at bigint DEFAULT 0 NOT NULL,
    tag bytea,
    CONSTRAINT environments_environment_id_check CHECK ((octet_length(environment_id) = 16)),
    CONSTRAINT environments_tag_check CHECK ((octet_length(tag) = 32))
);
CREATE TABLE public.events (
    seq bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    compact text NOT NULL COLLATE pg_catalog."C",
    hash bytea NOT NULL,
    issued_at bigint NOT NULL,
    lasting bigint,
    CONSTRAINT events_hash_check CHECK ((octet_length(hash) = 32)),
    CONSTRAINT events_lasting_check CHECK ((lasting = ANY (ARRAY[(0)::bigint, (1)::bigint]))),
    CONSTRAINT events_seq_check CHECK ((seq >= 1))
);
CREATE TABLE public.idempotency (
    subject text NOT NULL COLLATE pg_catalog."C",
    key text NOT NULL COLLATE pg_catalog."C",
    secret_id bytea NOT NULL,
    version bigint NOT NULL,
    created_at bigint NOT NULL,
    tag bytea,
    CONSTRAINT idempotency_tag_check CHECK ((octet_length(tag) = 32))
);
CREATE TABLE public.installation (
    only_row bigint NOT NULL,
    mode text NOT NULL COLLATE pg_catalog."C",
    manager_id bytea NOT NULL,
    anonymous_credential bytea NOT NULL,
    CONSTRAINT installation_anonymous_credential_check CHECK ((octet_length(anonymous_credential) = 16)),
    CONSTRAINT installation_manager_id_check CHECK ((octet_length(manager_id) = 16)),
    CONSTRAINT installation_mode_check CHECK ((mode = ANY (ARRAY['development'::text, 'production'::text]))),
    CONSTRAINT installation_only_row_check CHECK ((only_row = 1))
);
CREATE TABLE public.lacking_envelopes (
    secret_id bytea NOT NULL,
    envelope bigint NOT NULL,
    epoch bigint NOT NULL
);
CREATE TABLE public.pending_revocations (
    "position" bigint NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    created_at bigint NOT NULL,
    tag bytea,
    CONSTRAINT pending_revocations_tag_check CHECK ((octet_length(tag) = 32))
);
CREATE TABLE public.registry_log (
    number bigint NOT NULL,
    entry text NOT NULL COLLATE pg_catalog."C",
    tag bytea NOT NULL,
    CONSTRAINT registry_log_number_check CHECK ((number >= 1)),
    CONSTRAINT registry_log_tag_check CHECK ((octet_length(tag) = 32))
);
CREATE TABLE public.registry_records (
    kind text NOT NULL COLLATE pg_catalog."C",
    id text NOT NULL COLLATE pg_catalog."C",
    body text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.root_key_rotations (
    environment_id bytea NOT NULL,
    epoch bigint NOT NULL,
    changed_at bigint NOT NULL,
    retirement text COLLATE pg_catalog."C",
    CONSTRAINT root_key_rotations_epoch_check CHECK ((epoch >= 1))
);
CREATE TABLE public.secrets (
    secret_id bytea NOT NULL,
    environment_id bytea NOT NULL,
    path text NOT NULL COLLATE pg_catalog."C",
    created_at bigint NOT NULL,
    tag bytea,
    CONSTRAINT secrets_secret_id_check CHECK ((octet_length(secret_id) = 16)),
    CONSTRAINT secrets_tag_check CHECK ((octet_length(tag) = 32))
);
CREATE TABLE public.service_copy (
    only_row bigint NOT NULL,
    service text NOT NULL,
    schema_version bigint NOT NULL,
    generation text NOT NULL,
    renewal bigint NOT NULL,
    held boolean NOT NULL,
    CONSTRAINT service_copy_only_row_check CHECK ((only_row = 1))
);
CREATE TABLE public.subjects (
    label text NOT NULL COLLATE pg_catalog."C",
    subject text NOT NULL COLLATE pg_catalog."C",
    tag bytea,
    CONSTRAINT subjects_tag_check CHECK ((octet_length(tag) = 32))
);
CREATE TABLE public.tokens (
    jti bytea NOT NULL,
    subject text NOT NULL COLLATE pg_catalog."C",
    credential_id bytea NOT NULL,
    environment_id bytea NOT NULL,
    grants text NOT NULL COLLATE pg_catalog."C",
    rseq bigint NOT NULL,
    issued_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    versions text COLLATE pg_catalog."C",
    CONSTRAINT tokens_jti_check CHECK ((octet_length(jti) = 16))
);
CREATE TABLE public.versions (
    secret_id bytea NOT NULL,
    version bigint NOT NULL,
    envelope bigint NOT NULL,
    state text NOT NULL COLLATE pg_catalog."C",
    created_at bigint NOT NULL,
    CONSTRAINT versions_check CHECK ((envelope <= version)),
    CONSTRAINT versions_state_check1 CHECK ((state = ANY (ARRAY['pending'::text, 'committed'::text, 'abandoned'::text, 'destroyed'::text])))
);
INSERT INTO public.credential_uses VALUES ('\xdebbcba1153ad07ca7ff573510307230', 1796032800);
INSERT INTO public.envelopes VALUES ('\x9f9d28d5857e28073d245e6f5018680c', 1, 'committed', 1, '\x987a621979f6cfd952a5ff17278b28b64570f79a29e8b50975d97b906991d08f');
INSERT INTO public.envelopes VALUES ('\x9f9d28d5857e28073d245e6f5018680c', 2, 'committed', 1, '\x5c6db76d739b7e95e7565fe18fffe5a488caeaa283e047cf8ffa9e255846f176');
INSERT INTO public.envelopes VALUES ('\x9f9d28d5857e28073d245e6f5018680c', 3, 'committed', 1, '\x360b1fdbbd1cd71bb82517784da4c4cbd8d8219faaa42ba617c312020a742a06');
INSERT INTO public.envelopes VALUES ('\xa487e613db4b0e3cc13286be2d44fe53', 1, 'committed', 1, '\xe54b82748e28cf870e492860de80f13ef22e906bf61c51a7f55c7f2af5fd8084');
INSERT INTO public.envelopes VALUES ('\xa3ac81939706a49f9647042a0de5f9a3', 1, 'committed', 1, '\xa4e3cdb2208df560b34fc17143c73b5916da63cec0a68cb9f8f3668f6956a4ff');
INSERT INTO public.envelopes VALUES ('\xc2b9595e19190070e62504b7f298fa7d', 1, 'committed', 1, '\xb3bc9383fdb203cdd4c32ee6b7a1eaa3224c485ec34d0946879c4da1359bf8b6');
INSERT INTO public.envelopes VALUES ('\xc2b9595e19190070e62504b7f298fa7d', 2, 'committed', 1, '\xf38aab3b8f6640a20d17044afdc6131bba6bccc1c0ff41b4b2b0a87f1d673d42');
INSERT INTO public.envelopes VALUES ('\x9ab07b48d1e43566bfe39fbff06ca8ac', 1, 'destroyed', 1, '\xd31c74561bf900c4ca31674da87f4982ab58aa5f3fb419e4493cea94be3fefb0');
INSERT INTO public.envelopes VALUES ('\xc24f769d69734fbdb42dcd28949a7f3a', 1, 'committed', 1, '\x1ea82e6bf082413da3754ccea71d684837ac99434788fcee9000cb9e72086974');
INSERT INTO public.environments VALUES ('\xaa8e6cd71f789de4257001001b9a8e94', 'dev', 'dev', 1, 2700, NULL, NULL, 1796035478, '\x5fd7afe34633751acfac67bc4e952f202fe6a4881d61768f946eafb26ac95198');
INSERT INTO public.environments VALUES ('\xaaa5d8aa11ad740119e671091f06d124', 'staging', 'staging', 2, 2700, NULL, NULL, 1796035478, '\xc41ddc6ebbdfb2c21370b7d6ec8d0a354eea08d69948cfe0669bcb7313c96bf1');
INSERT INTO public.environments VALUES ('\x0b5b9d82d38d4959537de216572d6852', 'production', 'production', 3, 2700, NULL, NULL, 1796035478, '\x7c84f1f1e23ef73424f96b7d11bbe812d0016e5b4842907853bdfead88ea65bd');
INSERT INTO public.environments VALUES ('\x41076f685d3f5d196124805c73748462', 'closed', 'closed', 5, 2700, NULL, 1796035487, 1796035487, '\x3162727550cbe8fc93dbd804baefdd96777fac0417be32cbbe47959ff3b23348');
INSERT INTO public.environments VALUES ('\xdf31b49d58dc7ee55242cafeca1dd7fa', 'lab', 'Laboratory', 4, 600, 1796035488, NULL, 1796035486, '\xea115928aa06343ea35148591eb64aa3728153d4d2999d47ab6e01b32bb3ea9d');
INSERT INTO public.events VALUES (1, 'credential:crd_cSlne7L0zHr2tvAvQ4ZBIg', 'eyJhbGciOiJFZERTQSIsInR5cCI6InNlY2V2ZW50K2p3dCIsImtpZCI6ImRyZ1NWOE1FdjBjaVgzc1FDVDZZbjJVR0dQYmotRnVOazNPbnVobThvclEifQ.eyJpc3MiOiJ1cm46c3BsaXR2YXVsdDpkZXZlbG9wbWVudDptZ3JfZWdaeDFqUzZlZ2R6MDdQR1RrOV83USIsImF1ZCI6InZsdF9UNUpDZkNHcEJ0c0ttNFRmNTZoYktRIiwiaWF0IjoxNzk2MDM1NDg1LCJqdGkiOiJoSlZwd2VUWUN0dGVEb2lHcDh1M3pnIiwic2VxIjoxLCJwcmV2IjoiQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQSIsImxhc3RpbmciOiJBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBIiwiZXZlbnRzIjp7InVybjpzcGxpdHZhdWx0OmV2ZW50OmNyZWRlbnRpYWwiOnsiY2xpZW50X2lkIjoiY3JkX2NTbG5lN0wwekhyMnR2QXZRNFpCSWcifX19.74VNitXNuxldSarq4PqoSU7Dx4P2mivNaDJ-udjBmYZGbtWcrpo14ntdzu90Qk5dxECFahlqmsz0V3eo1aoSBQ', '\xb1319cb0b35c286d7067698f4f94ca8815b043b798ebe059ed13b6b63509613a', 1796035485, 1);
INSERT INTO public.events VALUES (2, 'credential:crd_P4q3VQbPXD7hXUd0tJssAw', 'eyJhbGciOiJFZERTQSIsInR5cCI6InNlY2V2ZW50K2p3dCIsImtpZCI6ImRyZ1NWOE1FdjBjaVgzc1FDVDZZbjJVR0dQYmotRnVOazNPbnVobThvclEifQ.eyJpc3MiOiJ1cm46c3BsaXR2YXVsdDpkZXZlbG9wbWVudDptZ3JfZWdaeDFqUzZlZ2R6MDdQR1RrOV83USIsImF1ZCI6InZsdF9UNUpDZkNHcEJ0c0ttNFRmNTZoYktRIiwiaWF0IjoxNzk2MDM1NDg2LCJqdGkiOiJpOGFJT1ZhUV9vLXB5MVFGMDFoUmtRIiwic2VxIjoyLCJwcmV2Ijoic1RHY3NMTmNLRzF3WjJtUFQ1VEtpQld3UTdlWTYtQlo3Uk8ydGpVSllUbyIsImxhc3RpbmciOiJzVEdjc0xOY0tHMXdaMm1QVDVUS2lCV3dRN2VZNi1CWjdSTzJ0alVKWVRvIiwiZXZlbnRzIjp7InVybjpzcGxpdHZhdWx0OmV2ZW50OmNyZWRlbnRpYWwiOnsiY2xpZW50X2lkIjoiY3JkX1A0cTNWUWJQWEQ3aFhVZDB0SnNzQXcifX19.DZuK3RRjbkQzPcXsSZch5z1Zuk6lUGkqmQM9WGQf-S0b8Oa1yT3e-eOhhGh9fOngFc9UFQvZBQaNZm9_GiZuBA', '\xc84d15dc7834a0ff74e220c3a94719cb6a803a282022bd346119f37f3a0c5af8', 1796035486, 1);
INSERT INTO public.events VALUES (3, 'credential:crd_mK7PF9Hnyb15bU9IomLtEg', 'eyJhbGciOiJFZERTQSIsInR5cCI6InNlY2V2ZW50K2p3dCIsImtpZCI6ImRyZ1NWOE1FdjBjaVgzc1FDVDZZbjJVR0dQYmotRnVOazNPbnVobThvclEifQ.eyJpc3MiOiJ1cm46c3BsaXR2YXVsdDpkZXZlbG9wbWVudDptZ3JfZWdaeDFqUzZlZ2R6MDdQR1RrOV83USIsImF1ZCI6InZsdF9UNUpDZkNHcEJ0c0ttNFRmNTZoYktRIiwiaWF0IjoxNzk2MDM1NDg2LCJqdGkiOiI0a0tUVFptU01fN2RZeXJCd00zQkVnIiwic2VxIjozLCJwcmV2IjoieUUwVjNIZzBvUDkwNGlERHFVY1p5MnFBT2lnZ0lyMDBZUm56ZnpvTVd2ZyIsImxhc3RpbmciOiJ5RTBWM0hnMG9QOTA0aUREcVVjWnkycUFPaWdnSXIwMFlSbnpmem9NV3ZnIiwiZXZlbnRzIjp7InVybjpzcGxpdHZhdWx0OmV2ZW50OmNyZWRlbnRpYWwiOnsiY2xpZW50X2lkIjoiY3JkX21LN1BGOUhueWIxNWJVOUlvbUx0RWcifX19.Tf_VFjdhIQ4ktvdk4R3aqnH-nh9VxYLNgDd6blHCd3f5V617rlNvbu33Gu4DE5oFegn3R2Lv4PbwkM2Qgv_bDQ', '\xfd5abd5e35dd44fca646fd2b34e43498af6d54d5f56e2be3cf528a118ab5af07', 1796035486, 1);
INSERT INTO public.events VALUES (4, 'environment:env_QQdvaF0_XRlhJIBcc3SEYg', 'eyJhbGciOiJFZERTQSIsInR5cCI6InNlY2V2ZW50K2p3dCIsImtpZCI6ImRyZ1NWOE1FdjBjaVgzc1FDVDZZbjJVR0dQYmotRnVOazNPbnVobThvclEifQ.eyJpc3MiOiJ1cm46c3BsaXR2YXVsdDpkZXZlbG9wbWVudDptZ3JfZWdaeDFqUzZlZ2R6MDdQR1RrOV83USIsImF1ZCI6InZsdF9UNUpDZkNHcEJ0c0ttNFRmNTZoYktRIiwiaWF0IjoxNzk2MDM1NDg3LCJqdGkiOiIzX2NxUkdkVXJ1a2JmMFJjS1NkOTZBIiwic2VxIjo0LCJwcmV2IjoiX1ZxOVhqWGRSUHltUnYwck5PUTBtSzl0Vk5YMWJpdmp6MUtLRVlxMXJ3YyIsImxhc3RpbmciOiJfVnE5WGpYZFJQeW1SdjByTk9RMG1LOXRWTlgxYml2anoxS0tFWXExcndjIiwiZXZlbnRzIjp7InVybjpzcGxpdHZhdWx0OmV2ZW50OmVudmlyb25tZW50Ijp7ImVudmlyb25tZW50IjoiZW52X1FRZHZhRjBfWFJsaEpJQmNjM1NFWWcifX19.1lerWNdV-rZllsu19w5Y2rJr89HM_2sr9RB9Z5GEG2UsaU1mx935NnHIu6snfgt7lNzhuNPwa3pZWAnGyWY2BA', '\x7b7cc8ad6f818adc41bc0d5644612473547e217adc0bf12eeed2d92a77c38aa4', 1796035487, 1);
INSERT INTO public.events VALUES (5, 'destroy:env_qo5s1x94neQlcAEAG5qOlA:sec_mrB7SNHkNWa_45-_8GyorA:1', 'eyJhbGciOiJFZERTQSIsInR5cCI6InNlY2V2ZW50K2p3dCIsImtpZCI6ImRyZ1NWOE1FdjBjaVgzc1FDVDZZbjJVR0dQYmotRnVOazNPbnVobThvclEifQ.eyJpc3MiOiJ1cm46c3BsaXR2YXVsdDpkZXZlbG9wbWVudDptZ3JfZWdaeDFqUzZlZ2R6MDdQR1RrOV83USIsImF1ZCI6InZsdF9UNUpDZkNHcEJ0c0ttNFRmNTZoYktRIiwiaWF0IjoxNzk2MDM1NDg4LCJqdGkiOiJuczk1T0dMYnBMdWRneGxtUmJzWVNBIiwic2VxIjo1LCJwcmV2IjoiZTN6SXJXLUJpdHhCdkExV1JHRWtjMVItSVhyY0NfRXU3dExaS25mRGlxUSIsImxhc3RpbmciOiJlM3pJclctQml0eEJ2QTFXUkdFa2MxUi1JWHJjQ19FdTd0TFpLbmZEaXFRIiwiZXZlbnRzIjp7InVybjpzcGxpdHZhdWx0OmV2ZW50OmRlc3Ryb3kiOnsiZW52aXJvbm1lbnQiOiJlbnZfcW81czF4OTRuZVFsY0FFQUc1cU9sQSIsInNlY3JldF9pZCI6InNlY19tckI3U05Ia05XYV80NS1fOEd5b3JBIiwidmVyc2lvbiI6MX19fQ.JAvJQClEM9ke9k60lnJ4f_NnBZQVjaSSLy-howqCLK0O9S_RGZ_DDbc7bK4DYXaL_runhi0lEDZMMgkwOXy7AQ', '\x69f7035e278e683b9ef8dfa7d53ace5ebc7822d619964dbca852586ed5b49b7f', 1796035488, 1);
INSERT INTO public.idempotency VALUES ('svc_kYrC1YKG7mjDicrh3GygfA', 'kept-with-the-release', '\xc24f769d69734fbdb42dcd28949a7f3a', 1, 1796035488, '\x718761a781d130e6b08270682be7f32e542b7128439be574546d0ced3089d794');
INSERT INTO public.installation VALUES (1, 'development', '\x7a0671d634ba7a0773d3b3c64e4f7fed', '\x750678b9e8eb178e9c4f5ce2da9de0ad');
INSERT INTO public.registry_log VALUES (1, '{"number":1,"before":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","root":"t7H_IXz17Z2uzihcS0ejA43xEwXSldpKbmtlVlx-fcU","made_at":1796035478,"author":"operator","reason":"init","changes":[{"name":{"kind":"service","id":"svc_kYrC1YKG7mjDicrh3GygfA"},"after":{"kind":"service","service_id":"svc_kYrC1YKG7mjDicrh3GygfA","name":"administrator","created_at":1796035478}},{"name":{"kind":"role-assignment","id":"asg_kYrC1YKG7mjDicrh3GygfA"},"after":{"kind":"role-assignment","assignment_id":"asg_kYrC1YKG7mjDicrh3GygfA","party":"svc_kYrC1YKG7mjDicrh3GygfA","role":"super_admin","pattern":"**","created_at":1796035478}},{"name":{"kind":"credential","id":"crd_3rvLoRU60Hyn_1c1EDByMA"},"after":{"kind":"credential","credential_id":"crd_3rvLoRU60Hyn_1c1EDByMA","subject":"svc_kYrC1YKG7mjDicrh3GygfA","proof":{"type":"opaque","hmac":"7oBmNg99Coum4d2-PPm6JWYLTDZcidwSg_A5mMbfT0k"},"created_at":1796035478}},{"name":{"kind":"credential","id":"crd_dQZ4uejrF46cT1zi2p3grQ"},"after":{"kind":"credential","credential_id":"crd_dQZ4uejrF46cT1zi2p3grQ","subject":"svc_LZIgKmo2_DvagoKr4lZtvA","proof":{"type":"stranger"},"created_at":1796035478}}]}', '\x8505693e003a8937eabfd51159cc118e451b7a616046a984a81cefb58d4e02c9');
INSERT INTO public.registry_log VALUES (2, '{"number":2,"before":"hQVpPgA6iTfqv9URWcwRjkUbemFgRqmEqBzvtY1OAsk","root":"kuQGbjq62EesSrWwWVtel-m-A4VNboV7DcFABfz2TVo","made_at":1796035485,"author":{"caller":{"principal":"svc_kYrC1YKG7mjDicrh3GygfA","credential":"crd_3rvLoRU60Hyn_1c1EDByMA"}},"changes":[{"name":{"kind":"group","id":"grp_ur_2uQm5FlrUaO7p45vaug"},"after":{"kind":"group","group_id":"grp_ur_2uQm5FlrUaO7p45vaug","name":"engineers","description":"they run it","members":[],"created_at":1796035485}}],"policy":{"number":1,"tag":"hQVpPgA6iTfqv9URWcwRjkUbemFgRqmEqBzvtY1OAsk"}}', '\xd1ada411c0c0b4ff8e96c60626026d50b1eabd61119a03ed261ab1170e8e7629');
INSERT INTO public.registry_log VALUES (3, '{"number":3,"before":"0a2kEcDAtP-OlsYGJgJtULHqvWERmgPtJhqxFw6Odik","root":"-TpAMgHhDyx2Y6DKaFhNF5K1rCskvAxeaHNA2Fy8aqY","made_at":1796035485,"author":{"caller":{"principal":"svc_kYrC1YKG7mjDicrh3GygfA","credential":"crd_3rvLoRU60Hyn_1c1EDByMA"}},"changes":[{"name":{"kind":"service","id":"svc_EAMjmsnowkdfnyYNrVTg2Q"},"after":{"kind":"service","service_id":"svc_EAMjmsnowkdfnyYNrVTg2Q","name":"billing","description":"bills","owner":"grp_ur_2uQm5FlrUaO7p45vaug","required":[{"environment":"env_qo5s1x94neQlcAEAG5qOlA","pattern":"app/**"}],"created_at":1796035485}}],"policy":{"number":2,"tag":"0a2kEcDAtP-OlsYGJgJtULHqvWERmgPtJhqxFw6Odik"}}', '\x73e16041874883bfa63bbee1f953cb67e4e85eb346bd6076e904db85b4374360');
INSERT INTO public.registry_log VALUES (4, '{"number":4,"before":"c-FgQYdIg7-mO77h-VPLZ-ToXrNGvWB26QTbhbQ3Q2A","root":"dQmz0c0yKPLWITfXDmLbO1u575312x5_SXAKCzIs3ho","made_at":1796035485,"author":{"caller":{"principal":"svc_kYrC1YKG7mjDicrh3GygfA","credential":"crd_3rvLoRU60Hyn_1c1EDByMA"}},"reason":"it bills","changes":[{"name":{"kind":"permission","id":"per_WeRGYNKxU7hFi0YWxOIwCw"},"after":{"kind":"permission","permission_id":"per_WeRGYNKxU7hFi0YWxOIwCw","party":"svc_EAMjmsnowkdfnyYNrVTg2Q","effect":"allow","actions":["list","read"],"environment":"env_qo5s1x94neQlcAEAG5qOlA","pattern":"app/**","reason":"it bills","author":"svc_kYrC1YKG7mjDicrh3GygfA","created_at":1796035485}},{"name":{"kind":"service","id":"svc_EAMjmsnowkdfnyYNrVTg2Q"},"after":{"kind":"service","service_id":"svc_EAMjmsnowkdfnyYNrVTg2Q","name":"billing","description":"bills","owner":"grp_ur_2uQm5FlrUaO7p45vaug","required":[{"environment":"env_qo5s1x94neQlcAEAG5qOlA","pattern":"app/**"}],"created_at":1796035485,"approved_at":1796035485}}],"policy":{"number":2,"tag":"0a2kEcDAtP-OlsYGJgJtULHqvWERmgPtJhqxFw6Odik"}}', '\x7b04ef75319c2f357ea756dc79bf1da44b2e4889dc322693198551cf49910e1e');
INSERT INTO public.registry_log VALUES (5, '{"number":5,"before":"ewTvdTGcLzV-p1bceb8dpEsuSIncMiaTGYVRz0mRDh4","root":"553kalmHklr96EePQEFiGahEF36Cb3c1H_753W7KQvE","made_at":1796035485,"author":{"caller":{"principal":"svc_kYrC1YKG7mjDicrh3GygfA","credential":"crd_3rvLoRU60Hyn_1c1EDByMA"}},"changes":[{"name":{"kind":"credential","id":"crd_mK7PF9Hnyb15bU9IomLtEg"},"after":{"kind":"credential","credential_id":"crd_mK7PF9Hnyb15bU9IomLtEg","subject":"svc_EAMjmsnowkdfnyYNrVTg2Q","proof":{"type":"opaque","hmac":"B_2HtCgJe761ufQj9-dkqes4B4jH3y3dyKcWYZFUi10"},"name":"host 1","created_at":1796035485,"expires_at":1827571485,"allowed_addresses":["127.0.0.0/8"]}}],"policy":{"number":4,"tag":"ewTvdTGcLzV-p1bceb8dpEsuSIncMiaTGYVRz0mRDh4"}}', '\xed8c1a935b47c6ce280298b6a2e7cf3a7d1abb7a0f995efc9a9169f9d9662bd0');
INSERT INTO public.registry_log VALUES (6, '{"number":6,"before":"7Ywak1tHxs4oApi2oufPOn0au3oPmV78mpFp-dlmK9A","root":"eEpnH-RmFMwyI0-vbedoS3Ek78ZiQ382VYbDtFVac4I","made_at":1796035485,"author":{"caller":{"principal":"svc_kYrC1YKG7mjDicrh3GygfA","credential":"crd_3rvLoRU60Hyn_1c1EDByMA"}},"changes":[{"name":{"kind":"credential","id":"crd_cSlne7L0zHr2tvAvQ4ZBIg"},"after":{"kind":"credential","credential_id":"crd_cSlne7L0zHr2tvAvQ4ZBIg","subject":"svc_EAMjmsnowkdfnyYNrVTg2Q","proof":{"type":"opaque","hmac":"I6ORIlMOuGMj2HXdPJsLsSuSNZOb9KaFsd_GiBqD8XM"},"name":"host 2","created_at":1796035485,"expires_at":1827571485,"allowed_addresses":["127.0.0.0/8"]}}],"policy":{"number":4,"tag":"ewTvdTGcLzV-p1bceb8dpEsuSIncMiaTGYVRz0mRDh4"}}', '\x1fdd591ec3a6e752bda4a9b143f1d4fdb1e5c7a811671ab272db60cf26af19ae');
INSERT INTO public.registry_log VALUES (7, '{"number":7,"before":"H91ZHsOm51K9pKmxQ_HU_bHlx6gRZxqycttgzyavGa4","root":"B_VJu14KNS9X3t_Sm2GOoHVWiib6_huPlh5h_fHRI7g","made_at":1796035485,"author":{"caller":{"principal":"svc_kYrC1YKG7mjDicrh3GygfA","credential":"crd_3rvLoRU60Hyn_1c1EDByMA"}},"changes":[{"name":{"kind":"credential","id":"crd_cSlne7L0zHr2tvAvQ4ZBIg"},"after":{"kind":"credential","credential_id":"crd_cSlne7L0zHr2tvAvQ4ZBIg","subject":"svc_EAMjmsnowkdfnyYNrVTg2Q","proof":{"type":"opaque","hmac":"I6ORIlMOuGMj2HXdPJsLsSuSNZOb9KaFsd_GiBqD8XM"},"name":"host 2","created_at":1796035485,"expires_at":1827571485,"disabled_at":1796035485,"allowed_addresses":["127.0.0.0/8"]}}],"policy":{"number":4,"tag":"ewTvdTGcLzV-p1bceb8dpEsuSIncMiaTGYVRz0mRDh4"}}', '\x74904cb19d74c0c4a8ae0896ae096ec425f2d2608d2b3970ee79997bb9302a6c');
INSERT INTO public.registry_log VALUES (8, '{"number":8,"before":"dJBMsZ10wMSorgiWrgluxCXy0mCNKzlw7nmZe7kwKmw","root":"F7T_0DH4wWF-7MMbDrD1AWBnVfodAS5iJiBYFAWwFVE","made_at":1796035485,"author":{"caller":{"principal":"svc_kYrC1YKG7mjDicrh3GygfA","credential":"crd_3rvLoRU60Hyn_1c1EDByMA"}},"changes":[{"name":{"kind":"service","id":"svc_x_q0y6YyML4I6RzVtxcUaA"},"after":{"kind":"service","service_id":"svc_x_q0y6YyML4I6RzVtxcUaA","name":"retired","created_at":1796035485}}],"policy":{"number":4,"tag":"ewTvdTGcLzV-p1bceb8dpEsuSIncMiaTGYVRz0mRDh4"}}', '\x96d168e9e6afce7a1a6941cce18b6b7bf8bb8ec1c29f57788118782ca7f85db6');
INSERT INTO public.registry_log VALUES (9, '{"number":9,"before":"ltFo6eavznoaaUHM4Ytre_i7jsHCn1d4gRh4LKf4XbY","root":"xkFTeGwab91u9i2JCQg83NHb1L-P4hUlBW_V5tYaw4A","made_at":1796035485,"author":{"caller":{"principal":"svc_kYrC1YKG7mjDicrh3GygfA","credential":"crd_3rvLoRU60Hyn_1c1EDByMA"}},"changes":[{"name":{"kind":"service","id":"svc_x_q0y6YyML4I6RzVtxcUaA"},"after":{"kind":"service","service_id":"svc_x_q0y6YyML4I6RzVtxcUaA","name":"retired","created_at":1796035485,"disabled_at":1796035485}}],"policy":{"number":4,"tag":"ewTvdTGcLzV-p1bceb8dpEsuSIncMiaTGYVRz0mRDh4"}}', '\x9984d7a806bb3977c9daab0250f26e4d114a7fa1a632ca2f70452ff1d2a69792');
INSERT INTO public.registry_log VALUES (11, '{"number":11,"before":"9_LJF00yN4fGAXD5_LWKKaJ95RWr0hX1JxCvOaWnzd8","root":"ae7m5dYHHOAHxiBhKjhqKFajt8GR7lPFQIqeS024bg8","made_at":1796035486,"author":{"caller":{"principal":"svc_kYrC1YKG7mjDicrh3GygfA","credential":"crd_3rvLoRU60Hyn_1c1EDByMA"}},"changes":[{"name":{"kind":"person","id":"usr_LfsvSTlVmnfZsWYYh5H1AA"},"after":{"kind":"person","person_id":"usr_LfsvSTlVmnfZsWYYh5H1AA","name":"ann","display_name":"Ann","created_at":1796035486}}],"policy":{"number":4,"tag":"ewTvdTGcLzV-p1bceb8dpEsuSIncMiaTGYVRz0mRDh4"}}', '\x9ab401b10f66b7980071116b311d25f76ebdd4592d73000556631dad68be71b4');
INSERT INTO public.registry_log VALUES (10, '{"number":10,"before":"mYTXqAa7OXfJ2qsCUPJuTRFKf6GmMsovcEUv8dKml5I","root":"j5Yt339tSSiTTE5tnJcPKzPuzhzi_QwWasmwL2kPNHM","made_at":1796035485,"author":{"caller":{"principal":"svc_kYrC1YKG7mjDicrh3GygfA","credential":"crd_3rvLoRU60Hyn_1c1EDByMA"}},"changes":[{"name":{"kind":"credential","id":"crd_P4q3VQbPXD7hXUd0tJssAw"},"after":{"kind":"credential","credential_id":"crd_P4q3VQbPXD7hXUd0tJssAw","subject":"svc_EAMjmsnowkdfnyYNrVTg2Q","proof":{"type":"trust","definition":{"kind":"generic","issuer":"https://issuer.example","audience":"https://manager.example:8000","keys":{"pinned":"{\"keys\":[{\"alg\":\"ES256\",\"crv\":\"P-256\",\"kid\":\"1\",\"kty\":\"EC\",\"use\":\"sig\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}"},"claims":[{"claim":"sub","exact":"project:acme/shop:main"}]}},"name":"ci","created_at":1796035485}}],"policy":{"number":4,"tag":"ewTvdTGcLzV-p1bceb8dpEsuSIncMiaTGYVRz0mRDh4"}}', '\xf7f2c9174d323787c60170f9fcb58a29a27de515abd215f52710af39a5a7cddf');
INSERT INTO public.registry_log VALUES (14, '{"number":14,"before":"PnaldMjbBvsBq6z_PJi_QTDJ80hwYJhfyIHq4VlYplU","root":"EnKU-8alztlkPDyvBDjpnmMsV0SiRUQ_sdUVsfZUGoU","made_at":1796035486,"author":{"caller":{"principal":"svc_kYrC1YKG7mjDicrh3GygfA","credential":"crd_3rvLoRU60Hyn_1c1EDByMA"}},"reason":"the team","changes":[{"name":{"kind":"group","id":"grp_ur_2uQm5FlrUaO7p45vaug"},"after":{"kind":"group","group_id":"grp_ur_2uQm5FlrUaO7p45vaug","name":"engineers","description":"they run it","members":["usr_LfsvSTlVmnfZsWYYh5H1AA","svc_EAMjmsnowkdfnyYNrVTg2Q"],"created_at":1796035485}}],"policy":{"number":4,"tag":"ewTvdTGcLzV-p1bceb8dpEsuSIncMiaTGYVRz0mRDh4"},"replaced":[{"kind":"group","group_id":"grp_ur_2uQm5FlrUaO7p45vaug","name":"engineers","description":"they run it","members":[],"created_at":1796035485}]}', '\x96e0f6cc7a8bca48c0cae1fa8aae06bfdc3c51a315ff8aef06f9a0b8adbf20cc');
INSERT INTO public.registry_log VALUES (17, '{"number":17,"before":"qwM8oIK6HSK9OEnD9ATIHnrMiuzQsonNCEOc27i5JLs","root":"ba1i6PaG_LQiv18VUBnUqt3UkyEqI2HDQKzHRVt-VwU","made_at":1796035488,"author":{"caller":{"principal":"svc_kYrC1YKG7mjDicrh3GygfA","credential":"crd_3rvLoRU60Hyn_1c1EDByMA"}},"changes":[{"name":{"kind":"settings","id":"rate-limits"},"after":{"kind":"settings","settings_id":"rate-limits","rate_limits":{"principal":{"per_second":500,"burst":900},"address":{"per_second":2000,"burst":4000}}}}],"policy":{"number":16,"tag":"qwM8oIK6HSK9OEnD9ATIHnrMiuzQsonNCEOc27i5JLs"}}', '\x0623e7b7fd27c3f16be6137bdcf5151b57d116095464bdfe2ffa79bbcaec97fb');
INSERT INTO public.registry_log VALUES (12, '{"number":12,"before":"mrQBsQ9mt5gAcRFrMR0l92691FktcwAFVmMdrWi-cbQ","root":"EM-L9G3rkBLv_3__sQ9uRbt6QIgpF6wFPOxljv-sZJk","made_at":1796035486,"author":{"caller":{"principal":"svc_kYrC1YKG7mjDicrh3GygfA","credential":"crd_3rvLoRU60Hyn_1c1EDByMA"}},"changes":[{"name":{"kind":"enrolment","id":"enr_zXbi4YxIZJITW-M-50gq9w"},"after":{"kind":"enrolment","enrolment_id":"enr_zXbi4YxIZJITW-M-50gq9w","hmac":"oPKqGPJD7NSLa0iek1zfByyK71MOWRFBJyI1t6k6D34","subject":"usr_LfsvSTlVmnfZsWYYh5H1AA","author":"svc_kYrC1YKG7mjDicrh3GygfA","author_credential":"crd_3rvLoRU60Hyn_1c1EDByMA","created_at":1796035486,"expires_at":1796036386}}],"policy":{"number":4,"tag":"ewTvdTGcLzV-p1bceb8dpEsuSIncMiaTGYVRz0mRDh4"}}', '\x709881f125bb1142771cbce645651ad0bc79fc458fdb7e0e325ed73b6a589a78');
INSERT INTO public.registry_log VALUES (16, '{"number":16,"before":"i5s_eTVfN0GaT3Q_0pbU2q___t_cQJaP4LvVCkP4SoI","root":"r9eotPkOpj8OZ4r9yv0YlVUOhNzb_x7b5UPgyksznfY","made_at":1796035486,"author":{"caller":{"principal":"svc_kYrC1YKG7mjDicrh3GygfA","credential":"crd_3rvLoRU60Hyn_1c1EDByMA"}},"reason":"not for programs","changes":[{"name":{"kind":"permission","id":"per_JqVJK9VlCCoElI0ilcuc8g"},"after":{"kind":"permission","permission_id":"per_JqVJK9VlCCoElI0ilcuc8g","party":"svc_EAMjmsnowkdfnyYNrVTg2Q","effect":"deny","actions":["read"],"environment":"env_qo5s1x94neQlcAEAG5qOlA","pattern":"app/closed/**","reason":"not for programs","author":"svc_kYrC1YKG7mjDicrh3GygfA","created_at":1796035486}}],"policy":{"number":15,"tag":"i5s_eTVfN0GaT3Q_0pbU2q___t_cQJaP4LvVCkP4SoI"}}', '\xab033ca082ba1d22bd3849c3f404c81e7acc8aecd0b289cd08439cdbb8b924bb');
INSERT INTO public.registry_log VALUES (13, '{"number":13,"before":"cJiB8SW7EUJ3HLzmRWUa0Lx5_EWP234OMl7XO2pYmng","root":"5QOaAu61PQQZLEv4eLW5KMYC6ND9xj9fFq-46Z-H_f4","made_at":1796035486,"author":{"caller":{"principal":"usr_LfsvSTlVmnfZsWYYh5H1AA","credential":"crd_AAAAAAAAAAAAAAAAAAAAAA"}},"reason":"enrolled","changes":[{"name":{"kind":"enrolment","id":"enr_zXbi4YxIZJITW-M-50gq9w"}},{"name":{"kind":"sign-on","id":"sgn_LfsvSTlVmnfZsWYYh5H1AA"},"after":{"kind":"sign-on","sign_on_id":"sgn_LfsvSTlVmnfZsWYYh5H1AA","password":"$argon2id$v=19$m=19456,t=2,p=1$jHbz6aWzAAfNl7wW6DI8og$5jxHpg5dzHtA/P5eAdOYlqU/GiHp2d3pfoaFn20UduU","password_changed_at":1796035486}}],"policy":{"number":4,"tag":"ewTvdTGcLzV-p1bceb8dpEsuSIncMiaTGYVRz0mRDh4"}}', '\x3e76a574c8db06fb01abacff3c98bf4130c9f3487060985fc881eae15958a655');
INSERT INTO public.registry_log VALUES (15, '{"number":15,"before":"luD2zHqLykjAyuH6iq4Gv9w8UaMV_4rvBvmguK2_IMw","root":"AmA5MZO2_LxgryRgPnUk8CtduAOoHu9MlPtaaQwg7Kk","made_at":1796035486,"author":{"caller":{"principal":"svc_kYrC1YKG7mjDicrh3GygfA","credential":"crd_3rvLoRU60Hyn_1c1EDByMA"}},"reason":"reads","changes":[{"name":{"kind":"role-assignment","id":"asg_O5Gd9yUMUPTd1NvPRfw87w"},"after":{"kind":"role-assignment","assignment_id":"asg_O5Gd9yUMUPTd1NvPRfw87w","party":"grp_ur_2uQm5FlrUaO7p45vaug","role":"service_user","environment":"env_qo5s1x94neQlcAEAG5qOlA","pattern":"team/**","reason":"reads","author":"svc_kYrC1YKG7mjDicrh3GygfA","created_at":1796035486}}],"policy":{"number":14,"tag":"luD2zHqLykjAyuH6iq4Gv9w8UaMV_4rvBvmguK2_IMw"}}', '\x8b9b3f79355f37419a4f743fd296d4daaffffedfdc40968fe0bbd50a43f84a82');
INSERT INTO public.registry_records VALUES ('service', 'svc_kYrC1YKG7mjDicrh3GygfA', '{"kind":"service","service_id":"svc_kYrC1YKG7mjDicrh3GygfA","name":"administrator","created_at":1796035478}');
INSERT INTO public.registry_records VALUES ('role-assignment', 'asg_kYrC1YKG7mjDicrh3GygfA', '{"kind":"role-assignment","assignment_id":"asg_kYrC1YKG7mjDicrh3GygfA","party":"svc_kYrC1YKG7mjDicrh3GygfA","role":"super_admin","pattern":"**","created_at":1796035478}');
INSERT INTO public.registry_records VALUES ('credential', 'crd_3rvLoRU60Hyn_1c1EDByMA', '{"kind":"credential","credential_id":"crd_3rvLoRU60Hyn_1c1EDByMA","subject":"svc_kYrC1YKG7mjDicrh3GygfA","proof":{"type":"opaque","hmac":"7oBmNg99Coum4d2-PPm6JWYLTDZcidwSg_A5mMbfT0k"},"created_at":1796035478}');
INSERT INTO public.registry_records VALUES ('credential', 'crd_dQZ4uejrF46cT1zi2p3grQ', '{"kind":"credential","credential_id":"crd_dQZ4uejrF46cT1zi2p3grQ","subject":"svc_LZIgKmo2_DvagoKr4lZtvA","proof":{"type":"stranger"},"created_at":1796035478}');
INSERT INTO public.registry_records VALUES ('permission', 'per_WeRGYNKxU7hFi0YWxOIwCw', '{"kind":"permission","permission_id":"per_WeRGYNKxU7hFi0YWxOIwCw","party":"svc_EAMjmsnowkdfnyYNrVTg2Q","effect":"allow","actions":["list","read"],"environment":"env_qo5s1x94neQlcAEAG5qOlA","pattern":"app/**","reason":"it bills","author":"svc_kYrC1YKG7mjDicrh3GygfA","created_at":1796035485}');
INSERT INTO public.registry_records VALUES ('service', 'svc_EAMjmsnowkdfnyYNrVTg2Q', '{"kind":"service","service_id":"svc_EAMjmsnowkdfnyYNrVTg2Q","name":"billing","description":"bills","owner":"grp_ur_2uQm5FlrUaO7p45vaug","required":[{"environment":"env_qo5s1x94neQlcAEAG5qOlA","pattern":"app/**"}],"created_at":1796035485,"approved_at":1796035485}');
INSERT INTO public.registry_records VALUES ('credential', 'crd_mK7PF9Hnyb15bU9IomLtEg', '{"kind":"credential","credential_id":"crd_mK7PF9Hnyb15bU9IomLtEg","subject":"svc_EAMjmsnowkdfnyYNrVTg2Q","proof":{"type":"opaque","hmac":"B_2HtCgJe761ufQj9-dkqes4B4jH3y3dyKcWYZFUi10"},"name":"host 1","created_at":1796035485,"expires_at":1827571485,"allowed_addresses":["127.0.0.0/8"]}');
INSERT INTO public.registry_records VALUES ('credential', 'crd_cSlne7L0zHr2tvAvQ4ZBIg', '{"kind":"credential","credential_id":"crd_cSlne7L0zHr2tvAvQ4ZBIg","subject":"svc_EAMjmsnowkdfnyYNrVTg2Q","proof":{"type":"opaque","hmac":"I6ORIlMOuGMj2HXdPJsLsSuSNZOb9KaFsd_GiBqD8XM"},"name":"host 2","created_at":1796035485,"expires_at":1827571485,"disabled_at":1796035485,"allowed_addresses":["127.0.0.0/8"]}');
INSERT INTO public.registry_records VALUES ('service', 'svc_x_q0y6YyML4I6RzVtxcUaA', '{"kind":"service","service_id":"svc_x_q0y6YyML4I6RzVtxcUaA","name":"retired","created_at":1796035485,"disabled_at":1796035485}');
INSERT INTO public.registry_records VALUES ('credential', 'crd_P4q3VQbPXD7hXUd0tJssAw', '{"kind":"credential","credential_id":"crd_P4q3VQbPXD7hXUd0tJssAw","subject":"svc_EAMjmsnowkdfnyYNrVTg2Q","proof":{"type":"trust","definition":{"kind":"generic","issuer":"https://issuer.example","audience":"https://manager.example:8000","keys":{"pinned":"{\"keys\":[{\"alg\":\"ES256\",\"crv\":\"P-256\",\"kid\":\"1\",\"kty\":\"EC\",\"use\":\"sig\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\",\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\"}]}"},"claims":[{"claim":"sub","exact":"project:acme/shop:main"}]}},"name":"ci","created_at":1796035485}');
INSERT INTO public.registry_records VALUES ('person', 'usr_LfsvSTlVmnfZsWYYh5H1AA', '{"kind":"person","person_id":"usr_LfsvSTlVmnfZsWYYh5H1AA","name":"ann","display_name":"Ann","created_at":1796035486}');
INSERT INTO public.registry_records VALUES ('sign-on', 'sgn_LfsvSTlVmnfZsWYYh5H1AA', '{"kind":"sign-on","sign_on_id":"sgn_LfsvSTlVmnfZsWYYh5H1AA","password":"$argon2id$v=19$m=19456,t=2,p=1$jHbz6aWzAAfNl7wW6DI8og$5jxHpg5dzHtA/P5eAdOYlqU/GiHp2d3pfoaFn20UduU","password_changed_at":1796035486}');
INSERT INTO public.registry_records VALUES ('group', 'grp_ur_2uQm5FlrUaO7p45vaug', '{"kind":"group","group_id":"grp_ur_2uQm5FlrUaO7p45vaug","name":"engineers","description":"they run it","members":["usr_LfsvSTlVmnfZsWYYh5H1AA","svc_EAMjmsnowkdfnyYNrVTg2Q"],"created_at":1796035485}');
INSERT INTO public.registry_records VALUES ('role-assignment', 'asg_O5Gd9yUMUPTd1NvPRfw87w', '{"kind":"role-assignment","assignment_id":"asg_O5Gd9yUMUPTd1NvPRfw87w","party":"grp_ur_2uQm5FlrUaO7p45vaug","role":"service_user","environment":"env_qo5s1x94neQlcAEAG5qOlA","pattern":"team/**","reason":"reads","author":"svc_kYrC1YKG7mjDicrh3GygfA","created_at":1796035486}');
INSERT INTO public.registry_records VALUES ('permission', 'per_JqVJK9VlCCoElI0ilcuc8g', '{"kind":"permission","permission_id":"per_JqVJK9VlCCoElI0ilcuc8g","party":"svc_EAMjmsnowkdfnyYNrVTg2Q","effect":"deny","actions":["read"],"environment":"env_qo5s1x94neQlcAEAG5qOlA","pattern":"app/closed/**","reason":"not for programs","author":"svc_kYrC1YKG7mjDicrh3GygfA","created_at":1796035486}');
INSERT INTO public.registry_records VALUES ('settings', 'rate-limits', '{"kind":"settings","settings_id":"rate-limits","rate_limits":{"principal":{"per_second":500,"burst":900},"address":{"per_second":2000,"burst":4000}}}');
INSERT INTO public.secrets VALUES ('\x9f9d28d5857e28073d245e6f5018680c', '\xaa8e6cd71f789de4257001001b9a8e94', 'app/db/password', 1796035487, '\xb23108c2b922bc4066780f19b4f64adb7e1086924f43c2d1d10bfe555e06759b');
INSERT INTO public.secrets VALUES ('\xa487e613db4b0e3cc13286be2d44fe53', '\xaa8e6cd71f789de4257001001b9a8e94', 'app/closed/key', 1796035487, '\x5fa5266ad84c196d6d06373e23702f9b6af8c1587c1c9d9f4d06071838bb2211');
INSERT INTO public.secrets VALUES ('\xa3ac81939706a49f9647042a0de5f9a3', '\xaa8e6cd71f789de4257001001b9a8e94', 'team/note', 1796035488, '\x7e04821d2817f6caef0a9f0b78767cfce0b0b2ead24970f869f62820b66857eb');
INSERT INTO public.secrets VALUES ('\xc2b9595e19190070e62504b7f298fa7d', '\xdf31b49d58dc7ee55242cafeca1dd7fa', 'one/two', 1796035488, '\x6a14f32583437ee93655c4fa91be6be4a4043ea8aed445aec9eb38c2cda000fb');
INSERT INTO public.secrets VALUES ('\x9ab07b48d1e43566bfe39fbff06ca8ac', '\xaa8e6cd71f789de4257001001b9a8e94', 'app/gone', 1796035488, '\xd3ecd570c5d91abb4b921742940e89c56911e99e0d7bcee668c9240571be6168');
INSERT INTO public.secrets VALUES ('\xc24f769d69734fbdb42dcd28949a7f3a', '\xaa8e6cd71f789de4257001001b9a8e94', 'app/repeated', 1796035488, '\xaebc1554781fdf53c81a8b015a0bfb0ee313c431b0bc76a7760546da91adbc2d');
INSERT INTO public.service_copy VALUES (1, 'master-key-manager', 6, '5f0571707ec6292937ab4e38972212f9', 12, false);
INSERT INTO public.subjects VALUES ('user123', 'usr_8AnxkeXsZ-kDAlDAHnjLNg', '\x51f47c44f35025df78e06996238a11e0b8836d9f77e1fc7dd1b4d29d82ae8bf9');
INSERT INTO public.tokens VALUES ('\x78fd2ac0d36156008b1001e371f4a34e', 'usr_8AnxkeXsZ-kDAlDAHnjLNg', '\xdebbcba1153ad07ca7ff573510307230', '\xaa8e6cd71f789de4257001001b9a8e94', '[["n50o1YV-KAc9JF5vUBhoDA",1]]', 4, 1796035487, 1796036387, '[1]');
INSERT INTO public.tokens VALUES ('\x768f736239cab46071f07e8019b096b3', 'usr_8AnxkeXsZ-kDAlDAHnjLNg', '\xdebbcba1153ad07ca7ff573510307230', '\xaa8e6cd71f789de4257001001b9a8e94', '[["n50o1YV-KAc9JF5vUBhoDA",2]]', 4, 1796035487, 1796036387, '[2]');
INSERT INTO public.tokens VALUES ('\xce41d63b62e1c2c984770497a5b6eb80', 'usr_8AnxkeXsZ-kDAlDAHnjLNg', '\xdebbcba1153ad07ca7ff573510307230', '\xaa8e6cd71f789de4257001001b9a8e94', '[["n50o1YV-KAc9JF5vUBhoDA",3]]', 4, 1796035487, 1796036387, '[3]');
INSERT INTO public.tokens VALUES ('\x37bb4cc10d313de4772e70bfa674c304', 'usr_8AnxkeXsZ-kDAlDAHnjLNg', '\xdebbcba1153ad07ca7ff573510307230', '\xaa8e6cd71f789de4257001001b9a8e94', '[["pIfmE9tLDjzBMoa-LUT-Uw",1]]', 4, 1796035488, 1796036388, '[1]');
INSERT INTO public.tokens VALUES ('\xdec4d97c18ac648b188e997b8fca4c6d', 'usr_8AnxkeXsZ-kDAlDAHnjLNg', '\xdebbcba1153ad07ca7ff573510307230', '\xaa8e6cd71f789de4257001001b9a8e94', '[["o6yBk5cGpJ-WRwQqDeX5ow",1]]', 4, 1796035488, 1796036388, '[1]');
INSERT INTO public.tokens VALUES ('\x75d114750bd0c22d09382a31ea68c985', 'usr_8AnxkeXsZ-kDAlDAHnjLNg', '\xdebbcba1153ad07ca7ff573510307230', '\xdf31b49d58dc7ee55242cafeca1dd7fa', '[["wrlZXhkZAHDmJQS38pj6fQ",1]]', 4, 1796035488, 1796036088, '[1]');
INSERT INTO public.tokens VALUES ('\x30ec1dde004f5d7d4f5d9cbdae13c300', 'usr_8AnxkeXsZ-kDAlDAHnjLNg', '\xdebbcba1153ad07ca7ff573510307230', '\xdf31b49d58dc7ee55242cafeca1dd7fa', '[["wrlZXhkZAHDmJQS38pj6fQ",2]]', 4, 1796035488, 1796036088, '[2]');
INSERT INTO public.tokens VALUES ('\x868805117e048ef4450b330964bad6f7', 'usr_8AnxkeXsZ-kDAlDAHnjLNg', '\xdebbcba1153ad07ca7ff573510307230', '\xaa8e6cd71f789de4257001001b9a8e94', '[["mrB7SNHkNWa_45-_8GyorA",1]]', 4, 1796035488, 1796036388, '[1]');
INSERT INTO public.tokens VALUES ('\x8c1bfa486396d9cc8513489297dcbbea', 'usr_8AnxkeXsZ-kDAlDAHnjLNg', '\xdebbcba1153ad07ca7ff573510307230', '\xaa8e6cd71f789de4257001001b9a8e94', '[["wk92nWlzT720Lc0olJp_Og",1]]', 5, 1796035488, 1796036388, '[1]');
INSERT INTO public.versions VALUES ('\x9f9d28d5857e28073d245e6f5018680c', 1, 1, 'committed', 1796035487);
INSERT INTO public.versions VALUES ('\x9f9d28d5857e28073d245e6f5018680c', 2, 2, 'committed', 1796035487);
INSERT INTO public.versions VALUES ('\x9f9d28d5857e28073d245e6f5018680c', 3, 3, 'committed', 1796035487);
INSERT INTO public.versions VALUES ('\xa487e613db4b0e3cc13286be2d44fe53', 1, 1, 'committed', 1796035487);
INSERT INTO public.versions VALUES ('\xa3ac81939706a49f9647042a0de5f9a3', 1, 1, 'committed', 1796035488);
INSERT INTO public.versions VALUES ('\xc2b9595e19190070e62504b7f298fa7d', 1, 1, 'committed', 1796035488);
INSERT INTO public.versions VALUES ('\xc2b9595e19190070e62504b7f298fa7d', 2, 2, 'committed', 1796035488);
INSERT INTO public.versions VALUES ('\x9f9d28d5857e28073d245e6f5018680c', 4, 1, 'committed', 1796035488);
INSERT INTO public.versions VALUES ('\x9ab07b48d1e43566bfe39fbff06ca8ac', 1, 1, 'destroyed', 1796035488);
INSERT INTO public.versions VALUES ('\xc24f769d69734fbdb42dcd28949a7f3a', 1, 1, 'committed', 1796035488);
ALTER TABLE ONLY public.credential_uses
    ADD CONSTRAINT credential_uses_pkey PRIMARY KEY (credential_id);
ALTER TABLE ONLY public.credentials
    ADD CONSTRAINT credentials_hmac_key UNIQUE (hmac);
ALTER TABLE ONLY public.credentials
    ADD CONSTRAINT credentials_pkey PRIMARY KEY (credential_id);
ALTER TABLE ONLY public.envelopes
    ADD CONSTRAINT envelopes_pkey PRIMARY KEY (secret_id, envelope);
ALTER TABLE ONLY public.environments
    ADD CONSTRAINT environments_name_key UNIQUE (name);
ALTER TABLE ONLY public.environments
    ADD CONSTRAINT environments_pkey PRIMARY KEY (environment_id);
ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT idempotency_pkey PRIMARY KEY (subject, key);
ALTER TABLE ONLY public.installation
    ADD CONSTRAINT installation_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY public.lacking_envelopes
    ADD CONSTRAINT lacking_versions_pkey PRIMARY KEY (secret_id, envelope);
ALTER TABLE ONLY public.pending_revocations
    ADD CONSTRAINT pending_revocations_name_key UNIQUE (name);
ALTER TABLE ONLY public.pending_revocations
    ADD CONSTRAINT pending_revocations_pkey PRIMARY KEY ("position");
ALTER TABLE ONLY public.registry_log
    ADD CONSTRAINT registry_log_pkey PRIMARY KEY (number);
ALTER TABLE ONLY public.registry_records
    ADD CONSTRAINT registry_records_pkey PRIMARY KEY (kind, id);
ALTER TABLE ONLY public.root_key_rotations
    ADD CONSTRAINT root_key_rotations_pkey PRIMARY KEY (environment_id, epoch);
ALTER TABLE ONLY public.secrets
    ADD CONSTRAINT secrets_environment_id_path_key UNIQUE (environment_id, path);
ALTER TABLE ONLY public.secrets
    ADD CONSTRAINT secrets_pkey PRIMARY KEY (secret_id);
ALTER TABLE ONLY public.service_copy
    ADD CONSTRAINT service_copy_pkey PRIMARY KEY (only_row);
ALTER TABLE ONLY public.subjects
    ADD CONSTRAINT subjects_pkey PRIMARY KEY (label);
ALTER TABLE ONLY public.subjects
    ADD CONSTRAINT subjects_subject_key UNIQUE (subject);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_pkey PRIMARY KEY (jti);
ALTER TABLE ONLY public.versions
    ADD CONSTRAINT versions_pkey PRIMARY KEY (secret_id, version);
CREATE UNIQUE INDEX environments_ordinal ON public.environments USING btree (ordinal);
CREATE INDEX events_lasting ON public.events USING btree (lasting, seq);
CREATE INDEX events_name ON public.events USING btree (name);
CREATE INDEX idempotency_age ON public.idempotency USING btree (created_at);
CREATE INDEX tokens_expiry ON public.tokens USING btree (expires_at);
CREATE INDEX tokens_of_credential ON public.tokens USING btree (credential_id, jti);
CREATE INDEX versions_pending ON public.versions USING btree (created_at, secret_id, version) WHERE (state = 'pending'::text);
CREATE INDEX versions_rolled_back ON public.versions USING btree (secret_id, envelope) WHERE (envelope <> version);
ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT idempotency_secret_id_fkey FOREIGN KEY (secret_id) REFERENCES public.secrets(secret_id);
ALTER TABLE ONLY public.lacking_envelopes
    ADD CONSTRAINT lacking_versions_secret_id_version_fkey FOREIGN KEY (secret_id, envelope) REFERENCES public.envelopes(secret_id, envelope);
ALTER TABLE ONLY public.root_key_rotations
    ADD CONSTRAINT root_key_rotations_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(environment_id);
ALTER TABLE ONLY public.secrets
    ADD CONSTRAINT secrets_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(environment_id);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT tokens_environment_id_fkey FOREIGN KEY (environment_id) REFERENCES public.environments(environment_id);
ALTER TABLE ONLY public.versions
    ADD CONSTRAINT versions_secret_id_envelope_fkey FOREIGN KEY (secret_id, envelope) REFERENCES public.envelopes(secret_id, envelope);
ALTER TABLE ONLY public.envelopes
    ADD CONSTRAINT versions_secret_id_fkey FOREIGN KEY (secret_id) REFERENCES public.secrets(secret_id);
ALTER TABLE ONLY public.versions
    ADD CONSTRAINT versions_secret_id_fkey1 FOREIGN KEY (secret_id) REFERENCES public.secrets(secret_id);
