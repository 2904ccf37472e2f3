"""Gateway logs as requests. A new format is a file beside this one and a line in the table."""

from __future__ import annotations

from streams.gateway import (
    alb,
    cloudflare,
    combined,
    ecs,
    envoy,
    kong,
    nginx,
    otel,
    pairwatch,
    traefik,
)
from streams.gateway.format import Format

#: What `replay --format` takes.
FORMATS: dict[str, Format] = {
    "alb": alb.FORMAT,
    "cloudflare": cloudflare.FORMAT,
    "combined": combined.FORMAT,
    "ecs": ecs.FORMAT,
    "envoy": envoy.FORMAT,
    "kong": kong.FORMAT,
    "nginx": nginx.FORMAT,
    "otel": otel.FORMAT,
    "pairwatch": pairwatch.FORMAT,
    "traefik": traefik.FORMAT,
}
