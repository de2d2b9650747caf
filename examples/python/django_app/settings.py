"""Settings of a Django project whose secrets are in the vault.

KEY_SERVICE_URL and SERVICE_TOKEN (or SERVICE_TOKEN_FILE) say where and who. The secrets are read once, at the start, in
one request for a token and one for the values.
"""

from pathlib import Path

import splitvault

env = splitvault.load_env(Path(__file__).with_name("app.env"))

SECRET_KEY = env["DJANGO_SECRET_KEY"]
ALLOWED_HOSTS = ["localhost"]
ROOT_URLCONF = "django_app.urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
DATABASES = {
    "default": {
        # With PostgreSQL these two are used; SQLite ignores them, so that the example runs anywhere.
        "ENGINE": env.get("DB_ENGINE", "django.db.backends.sqlite3"),
        "NAME": env.get("DB_NAME", ":memory:"),
        "USER": env["DB_USER"],
        "PASSWORD": env["DB_PASSWORD"],
    }
}
