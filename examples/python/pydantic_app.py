"""Settings of pydantic whose secret fields are in the vault: `python pydantic_app.py`."""

from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

import splitvault


class FromSplitvault(PydanticBaseSettingsSource):
    """Takes the fields of the settings from a folder of secrets: `db_password` from `db/password` or `db_password`."""

    def __init__(self, settings: type[BaseSettings], folder: str) -> None:
        """Reads the folder once."""
        super().__init__(settings)
        self._env = splitvault.load_env(folder=folder)

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Finds the value of one field."""
        return self._env.get(field_name.upper()), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Finds the values of all fields that are there."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


class Settings(BaseSettings):
    """What the program needs. `SecretStr` keeps values out of `repr` and logs."""

    db_host: str = "localhost"
    db_password: SecretStr
    api_key: SecretStr

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], **sources: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Lets arguments count more than the process, and the process more than the vault."""
        return sources["init_settings"], sources["env_settings"], FromSplitvault(settings_cls, "try-pydantic")


if __name__ == "__main__":
    settings = Settings()
    print(settings)
    print(f"The password has {len(settings.db_password.get_secret_value())} characters.")
