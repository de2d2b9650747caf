"""One page, which signs with the key of the settings and does not show it."""

from django.core import signing
from django.http import HttpRequest, HttpResponse
from django.urls import path


def signed(request: HttpRequest) -> HttpResponse:
    """Answers with a signed text."""
    return HttpResponse(signing.dumps("hello"))


urlpatterns = [path("", signed)]
