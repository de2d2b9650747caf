"""Both services, running, with free ports in a folder of their own."""

from __future__ import annotations

import json
import os
import signal
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[3]


class Service:
    """One process, with its configuration and its log."""

    def __init__(self, name: str, run: Path) -> None:
        self.name = name
        self.config = run / f"{name}.toml"
        self.ready = run / f"{name}.ready"
        self.log = run / f"{name}.log"
        self.audit = run / "data" / name / "audit.jsonl"
        self.process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def start(self) -> None:
        self.ready.unlink(missing_ok=True)
        binary = Path(os.environ["SPLITVAULT_BIN_DIR"]) / self.name
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [binary, "--config", self.config, "run"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        until(self._bound)
        self.port = int(self.ready.read_text().split()[0].rpartition(":")[2])

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Stops it as if the network swallowed everything."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def lines(self, action: str) -> list[dict[str, Any]]:
        """Lines of the audit log about an action."""
        files = sorted(self.audit.parent.glob("audit*.jsonl"))
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        return [line for line in lines if line.get("action") == action]

    def _bound(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended: {self.log.read_text()[-2000:]}")
        return self.ready.exists() and ":" in self.ready.read_text()


class Installation:
    """A manager and a vault, in development mode."""

    def __init__(self, folder: Path, tls: bool = False) -> None:
        self.folder = folder
        self.run = folder / "run"
        self.tls = tls
        self.vault = Service("encrypted-vault", self.run)
        self.manager = Service("master-key-manager", self.run)
        script(ROOT / "scripts/generate-keys.sh", "--keys", folder / "keys", "--run", self.run)
        if tls:
            script(ROOT / "scripts/make-certificates.sh", "--out", folder / "tls", "127.0.0.1", "127.0.0.1")
        self.admin_credential = (self.run / "admin-credential").read_text().strip()

    def start(self) -> None:
        self._configure(self.vault, "127.0.0.1:0")
        self.vault.start()
        self._configure(self.manager, "127.0.0.1:0")
        self.manager.start()
        # From now on they come back at the same place.
        self._configure(self.vault, f"127.0.0.1:{self.vault.port}")
        self._configure(self.manager, f"127.0.0.1:{self.manager.port}")
        self._until_ready()

    @property
    def url(self) -> str:
        return self._address(self.manager)

    @property
    def vault_url(self) -> str:
        return self._address(self.vault)

    @property
    def ca(self) -> Path:
        return self.folder / "tls/ca/ca.pem"

    def restart(self, service: Service) -> None:
        if service.process is None:
            service.start()
        self._until_ready()

    def restore(self) -> None:
        """Lets both run again, if one does not."""
        gone = [service for service in (self.vault, self.manager) if service.process is None]
        for service in (self.vault, self.manager):
            if service in gone:
                service.start()
            else:
                service.resume()
        if gone:
            self._until_ready()

    def stop(self) -> None:
        self.manager.stop()
        self.vault.stop()

    def ask(self, method: str, path: str, body: Any = None, credential: str | None = None) -> Any:
        """Asks the manager as the administrator, or with another credential."""
        with httpx.Client(trust_env=False, verify=self._verify(), timeout=30) as client:
            headers = {"Authorization": f"Bearer {credential or self.admin_credential}"}
            answer = client.request(method, self.url + path, headers=headers, json=body)
        document = answer.json()
        assert answer.status_code < 300, document
        return document

    def store(self, path: str, value: str, environment: str = "dev") -> str:
        body = {"user_id": "ops", "environment": environment, "path": path, "key_data": value, "token": False}
        stored: str = self.ask("POST", "/api/keys", body)["key_id"]
        return stored

    def service(self, name: str, pattern: str, environment: str = "dev", **terms: Any) -> dict[str, str]:
        """Registers and approves a service, and makes a credential."""
        required = [{"environment": environment, "pattern": pattern}]
        service = self.ask("POST", "/api/services", {"name": name, "required_keys": required})["service_id"]
        self.ask("POST", f"/api/services/{service}:approve", {"required_keys": required, "reason": "a test"})
        return {"service_id": service, **self.credential(service, **terms)}

    def credential(self, service: str, **terms: Any) -> dict[str, str]:
        body = {"name": "test", "expires_in": "1d", **terms}
        made = self.ask("POST", f"/api/services/{service}/credentials", body)
        return {"credential": made["credential"], "credential_id": made["details"]["credential_id"]}

    def _configure(self, service: Service, listen: str) -> None:
        keys = os.path.relpath(self.folder / "keys" / service.name, self.run)
        lines = [
            'mode = "development"',
            f'listen = "{listen}"',
            f'data_dir = "data/{service.name}"',
            f'key_dir = "{keys}"',
            f'ready_file = "{service.ready}"',
        ]
        certificates = self.folder / "tls" / service.name
        if service is self.manager:
            lines.append(f'vault_url = "{self.vault_url}"')
        if self.tls:
            lines += ["[tls]", f'certificate = "{certificates}/listener.pem"', f'key = "{certificates}/listener.key"']
            if service is self.vault:
                lines += [f'client_ca = "{certificates}/ca.pem"', 'client_name = "127.0.0.1"']
            else:
                lines += ["[vault_tls]", f'ca = "{certificates}/ca.pem"']
                lines += [f'certificate = "{certificates}/client.pem"', f'key = "{certificates}/client.key"']
        service.config.write_text("\n".join(lines) + "\n")
        service.config.chmod(0o600)

    def _verify(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca) if self.tls else None)

    def _address(self, service: Service) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{service.port}"

    def _until_ready(self) -> None:
        with httpx.Client(trust_env=False, verify=self._verify()) as client:

            def ready() -> bool:
                try:
                    answers = [client.get(f"{url}/health/ready") for url in (self.url, self.vault_url)]
                except httpx.TransportError:
                    return False
                return all(answer.status_code == 200 for answer in answers)

            until(ready)


def until(condition: Any, seconds: float = 60) -> None:
    """Looks until something is so; that it never is fails the test."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.02)


def script(*arguments: Any) -> None:
    ran = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
