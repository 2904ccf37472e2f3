"""Apache Kafka that demands TLS, passwords (SCRAM) or signed tokens (OAUTHBEARER).

Each demand has a listener of its own, so that one node serves all tests of them.
"""

from __future__ import annotations

import json
import subprocess
import time
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

from streams.embedded import free_port
from tests.brokers.kafka import KafkaCluster, Security

USER, PASSWORD = "watcher", "correct horse battery staple"
_ISSUER, _AUDIENCE = "https://tokens.example", "kafka"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
_OAUTH = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"
_VALIDATOR = "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
_JWT = "org.apache.kafka.common.security.oauthbearer.BrokerJwtValidator"


@dataclass(frozen=True)
class SecuredKafka:
    """A running node, and what its clients need."""

    cluster: KafkaCluster
    #: Port of each listener: TLS, SCRAM (with TLS), SCRAMPLAIN (without), OAUTH (with TLS).
    ports: dict[str, int]
    cafile: str
    _key: Path

    def address(self, listener: str) -> str:
        """`host:port` of a listener."""
        return f"127.0.0.1:{self.ports[listener]}"

    def token(self, *, lasts_s: float = 3_600.0, audience: str = _AUDIENCE) -> str:
        """Return a token that the node accepts, if it has not run out."""
        now_s = time.time()
        claims = {"sub": USER, "iss": _ISSUER, "aud": audience, "scope": "kafka"}
        times = {"iat": now_s - 60, "exp": now_s + lasts_s}
        head = _base64(json.dumps({"alg": "RS256", "kid": "k", "typ": "JWT"}).encode())
        signed = f"{head}.{_base64(json.dumps({**claims, **times}).encode())}"
        signature = _openssl("dgst", "-sha256", "-sign", str(self._key), stdin=signed.encode())
        return f"{signed}.{_base64(signature)}"


def secured_kafka(directory: Path) -> SecuredKafka:
    """Lay a node out, with keys of its own; it is yet to be started."""
    directory.mkdir(parents=True, exist_ok=True)
    key, certificate, jwks = (directory / name for name in ("key.pem", "ca.pem", "jwks.json"))
    _openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=broker"),
        *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
    )
    (directory / "broker.pem").write_bytes(key.read_bytes() + certificate.read_bytes())
    modulus = _openssl("rsa", "-in", str(key), "-noout", "-modulus").decode().strip()
    n = _base64(bytes.fromhex(modulus.removeprefix("Modulus=")))
    public = {"kty": "RSA", "kid": "k", "use": "sig", "alg": "RS256", "e": "AQAB", "n": n}
    jwks.write_text(json.dumps({"keys": [public]}))

    # Set for one listener alone, the validator would not be asked: Kafka 4.1 then checks nothing
    # of a token but that it has not run out.
    ports = {name: free_port() for name in ("TLS", "SCRAM", "SCRAMPLAIN", "OAUTH")}
    protocols = "TLS:SSL,SCRAM:SASL_SSL,SCRAMPLAIN:SASL_PLAINTEXT,OAUTH:SASL_SSL"
    scram = "".join(
        f"listener.name.{name}.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512\n"
        f"listener.name.{name}.scram-sha-256.sasl.jaas.config={_SCRAM}\n"
        f"listener.name.{name}.scram-sha-512.sasl.jaas.config={_SCRAM}\n"
        for name in ("scram", "scramplain")
    )
    oauth = "listener.name.oauth.oauthbearer.sasl"
    security = Security(
        listeners=ports,
        properties=f"""\
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,{protocols}
ssl.keystore.type=PEM
ssl.keystore.location={directory / "broker.pem"}
{scram}
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
{oauth}.jaas.config={_OAUTH}
{oauth}.server.callback.handler.class={_VALIDATOR}
sasl.oauthbearer.jwt.validator.class={_JWT}
sasl.oauthbearer.jwks.endpoint.url={jwks.as_uri()}
sasl.oauthbearer.expected.audience={_AUDIENCE}
sasl.oauthbearer.expected.issuer={_ISSUER}
""",
        format_arguments=tuple(
            f"--add-scram={mechanism}=[name={USER},password={PASSWORD}]"
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        ),
        jvm_arguments=(f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={jwks.as_uri()}",),
    )
    cluster = KafkaCluster(directory / "cluster", security=security)
    return SecuredKafka(cluster, ports, str(certificate), key)


def _base64(data: bytes) -> str:
    return urlsafe_b64encode(data).decode().rstrip("=")


def _openssl(*arguments: str, stdin: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *arguments], input=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
