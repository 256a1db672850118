"""Sending an alert: signed webhook, Slack, e-mail; private addresses refused unless allowed."""

import asyncio
import hashlib
import hmac
import ipaddress
import smtplib
import socket
from datetime import datetime
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

import orjson

from app.settings import Settings
from models.core.controls import Channel, ChannelKind, Incident, IncidentState
from models.core.errors import BadInput, JevonsError
from models.core.money import rounded

POST_SECONDS = 8.0
"""For everything from the connection to the status of the answer: a channel that dribbles must not hold a worker."""
CONNECT_SECONDS = 3.0
SMTP_TIMEOUT_SECONDS = 8.0
SIGNATURE_HEADER = "X-Jevons-Signature"


class NotSent(JevonsError):
    """A channel did not take an alert; trying again may help."""

    code = "not_sent"
    status = 502


class AddressRefused(BadInput):
    """A target in a private address range, or one that is no address at all. Trying again does not help."""

    code = "address_refused"


def send(channel: Channel, incident: Incident, event: str, delivery_id: int, settings: Settings) -> None:
    """Hand one alert to one channel.

    Raises   NotSent when the channel does not answer with success; AddressRefused for targets that may not be called.
    """
    if channel.kind is ChannelKind.EMAIL:
        _send_mail(channel, incident, event, settings)
    else:
        _post(channel, incident, event, delivery_id, allow_private=settings.allow_private_webhooks)


def test_message(channel: Channel, at: datetime) -> Incident:
    """What a channel gets when somebody tries it: shaped like an alert, and saying that it is none."""
    return Incident(
        id=0,
        project_id=channel.project_id,
        dedup_key=f"test:{channel.project_id}:{channel.id}",
        kind="test",
        state=IncidentState.RESOLVED,
        severity="info",
        title=f"test of channel {channel.name}: no action needed",
        agent=None,
        team=None,
        session=None,
        trace_id=None,
        budget_id=None,
        repeats=None,
        cost_so_far=None,
        cost_per_minute=None,
        waste=None,
        evidence={},
        quiet=False,
        opened_at=at,
        last_seen_at=at,
        acknowledged_at=None,
        acknowledged_by=None,
        snoozed_until=None,
        resolved_at=at,
        resolved_by="test",
    )


def signature(secret: str, body: bytes) -> str:
    """The value of `X-Jevons-Signature`: HMAC-SHA256 of the body under the channel's secret."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def check_url(kind: ChannelKind, url: str, *, allow_private: bool) -> None:
    """Refuse at once what could never be sent to.

    Raises   AddressRefused.
    """
    if kind is ChannelKind.EMAIL:
        if not url.startswith("mailto:") or "@" not in url or any(letter.isspace() for letter in url):
            raise AddressRefused(f"{url!r} is no e-mail address. Write mailto:name@example.org.")
        return
    _target(url, allow_private=allow_private)


def text_of(incident: Incident, event: str) -> str:
    """The alert in a few lines of plain text, for people."""
    shown = incident.as_json()
    facts = [f"[{incident.severity.upper()}] {incident.title}", f"{incident.state.value}, {event}"]
    if incident.cost_so_far is not None:
        rate = incident.cost_per_minute
        speed = f", ${rounded(rate, 2)} per minute" if rate is not None else ""
        facts.append(f"${rounded(incident.cost_so_far, 4)} so far{speed}")
    if incident.team:
        facts.append(f"team {incident.team}")
    if shown["trace_id"]:
        facts.append(f"trace {shown['trace_id']}")
    return "\n".join([*facts, f"dedup_key {incident.dedup_key}"])


def _target(url: str, *, allow_private: bool) -> tuple[str, str, str]:
    """The URL with its host replaced by the address that was checked, the host, and the Host header.

    The name is looked up once and the connection goes to that very address: a name that answers differently the
    second time cannot lead inside.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise AddressRefused(f"{url!r} is no http or https address.")
    try:
        port = parts.port or (443 if parts.scheme == "https" else 80)
        # What stands in a certificate and in a Host header is ASCII.
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode()
    except ValueError as fault:
        raise AddressRefused(f"{url!r} is no http or https address: {fault}.") from fault
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as unknown:
        raise NotSent(f"{host} cannot be found: {unknown}. Check the channel's URL.") from unknown
    addresses = [ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found]
    inside = [address for address in addresses if not address.is_global or address.is_multicast]
    if inside and not allow_private:
        raise AddressRefused(
            f"{host} is the private address {inside[0]}. "
            "Set JEVONS_ALLOW_PRIVATE_WEBHOOKS=1 to call addresses inside your network."
        )
    literal = f"[{addresses[0]}]" if addresses[0].version == 6 else str(addresses[0])
    named = host if parts.port is None else f"{host}:{parts.port}"
    return parts._replace(netloc=f"{literal}:{port}").geturl(), host, named


def _post(channel: Channel, incident: Incident, event: str, delivery_id: int, *, allow_private: bool) -> None:
    url, host, named = _target(channel.url, allow_private=allow_private)
    if channel.kind is ChannelKind.SLACK:
        body = orjson.dumps({"text": text_of(incident, event)})
    else:
        body = orjson.dumps({**incident.as_json(), "event": event})
    headers = {"Content-Type": "application/json", "Host": named, "X-Jevons-Delivery": str(delivery_id)}
    if channel.secret is not None:
        headers[SIGNATURE_HEADER] = signature(channel.secret, body)
    import httpx  # Slow to import, and only a delivery needs it.

    async def status() -> int:
        timeout = httpx.Timeout(POST_SECONDS, connect=CONNECT_SECONDS)
        async with (
            asyncio.timeout(POST_SECONDS),
            httpx.AsyncClient(timeout=timeout, trust_env=False, follow_redirects=False) as client,
            # The status says it all: what follows may never end.
            client.stream("POST", url, content=body, headers=headers, extensions={"sni_hostname": host}) as answer,
        ):
            return answer.status_code

    try:
        answered = asyncio.run(status())
    except TimeoutError as fault:
        raise NotSent(f"{host} did not answer within {POST_SECONDS:g} s") from fault
    except httpx.HTTPError as fault:
        raise NotSent(f"{host} did not take it: {type(fault).__name__}: {fault}") from fault
    if not 200 <= answered < 300:
        raise NotSent(f"{host} answered {answered}")


def _send_mail(channel: Channel, incident: Incident, event: str, settings: Settings) -> None:
    if settings.smtp_url is None:
        raise NotSent(
            "no mail server is known. Set JEVONS_SMTP_URL, such as smtp://user:password@mail.example.org:587."
        )
    server = urlsplit(settings.smtp_url.get_secret_value())
    message = EmailMessage()
    # Names of tools and agents come from spans: a line break in one would end the header.
    message["Subject"] = " ".join(f"[{incident.severity}] {incident.title}".split())[:200]
    message["From"] = settings.smtp_from
    message["To"] = channel.url.removeprefix("mailto:")
    # Mail programs thread by these, and a message that comes twice is seen to be the same.
    message["Message-ID"] = f"<{hashlib.sha256(f'{incident.dedup_key}/{event}'.encode()).hexdigest()[:32]}@jevons>"
    message["X-Jevons-Dedup-Key"] = " ".join(incident.dedup_key.split())
    message.set_content(text_of(incident, event))
    kind = smtplib.SMTP_SSL if server.scheme == "smtps" else smtplib.SMTP
    try:
        with kind(server.hostname or "localhost", server.port or 0, timeout=SMTP_TIMEOUT_SECONDS) as client:
            if server.scheme == "smtp" and client.has_extn("starttls"):
                client.starttls()
            if server.username:
                client.login(unquote(server.username), unquote(server.password or ""))
            client.send_message(message)
    except (OSError, smtplib.SMTPException) as fault:
        raise NotSent(f"the mail server did not take it: {type(fault).__name__}: {fault}") from fault
