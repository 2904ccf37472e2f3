"""The examples for gateways that no test can run say what the authz service understands."""

from __future__ import annotations

from typing import Any

import yaml

from deploy.enforcement.authz.service import main
from tests.deploy.enforcement.programs import EXAMPLES

OPTIONS = {parameter.name: parameter.default for parameter in main.params}


def read(name: str) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((EXAMPLES / name).read_text())
    return parsed


def envoy_filters() -> list[dict[str, Any]]:
    (listener,) = read("envoy/envoy.yaml")["static_resources"]["listeners"]
    ((manager,),) = [chain["filters"] for chain in listener["filter_chains"]]
    filters: list[dict[str, Any]] = manager["typed_config"]["http_filters"]
    return filters


def envoy_cluster(name: str) -> dict[str, Any]:
    clusters = read("envoy/envoy.yaml")["static_resources"]["clusters"]
    (cluster,) = [each for each in clusters if each["name"] == name]
    return dict(cluster)


def test_envoy_asks_before_it_routes_and_passes_requests_without_an_answer() -> None:
    ext_authz, router = envoy_filters()
    assert ext_authz["name"] == "envoy.filters.http.ext_authz"
    assert ext_authz["typed_config"]["failure_mode_allow"] is True
    assert router["name"] == "envoy.filters.http.router"


def test_envoy_s_clusters_are_those_it_names_and_stand_where_the_service_listens() -> None:
    http = envoy_filters()[0]["typed_config"]["http_service"]
    cluster = envoy_cluster(http["server_uri"]["cluster"])
    assert cluster["load_assignment"]["cluster_name"] == cluster["name"]
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    address = endpoint["endpoint"]["address"]["socket_address"]
    assert f"{address['address']}:{address['port_value']}" == OPTIONS["listen"]
    assert http["path_prefix"] == "/check"
    assert http["server_uri"]["uri"] == f"http://{OPTIONS['listen']}"


def test_envoy_sends_the_account_and_gives_the_client_the_refusal() -> None:
    config = envoy_filters()[0]["typed_config"]
    sent = {pattern["exact"] for pattern in config["allowed_headers"]["patterns"]}
    assert str(OPTIONS["account_header"]).lower() in sent
    response = config["http_service"]["authorization_response"]
    given = {pattern["exact"] for pattern in response["allowed_client_headers"]["patterns"]}
    assert given == {"content-type", "retry-after", "cache-control"}


def test_kong_asks_the_service_about_the_account() -> None:
    kong = read("kong/kong.yaml")
    assert kong["_format_version"] == "3.0"
    (service,) = kong["services"]
    (plugin,) = service["plugins"]
    assert plugin["name"] == "pre-function"
    (code,) = plugin["config"]["access"]
    assert f'"http://{OPTIONS["listen"]}/check"' in code
    assert f'kong.request.get_header("{OPTIONS["account_header"]}")' in code
    assert code.count("(") == code.count(")")
