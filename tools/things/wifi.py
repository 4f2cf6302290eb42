"""The Wi-Fi name and password, from the environment or a terminal; never from the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tools.errors import ToolError

NAME, PASSWORD = "WIFI_SSID", "WIFI_PASSWORD"
Ask = Callable[[str, bool], str]  # (question, hide the answer?) -> answer


def networks(environment: Mapping[str, str], ask: Ask | None) -> list[dict[str, str]]:
    """The `wifi` list of a config.json: one network.

    An empty password is an open network. ``ask`` is None without a terminal; what is missing then
    is a ToolError that names the variables.
    """
    found = {key: environment.get(key) for key in (NAME, PASSWORD)}
    missing = [key for key, value in found.items() if value is None]
    if missing and ask is None:
        raise ToolError(
            f"the Wi-Fi is not known: {' and '.join(missing)} not set",
            f"export {NAME}=... {PASSWORD}=... (empty for an open network)",
        )
    ssid, password = found[NAME], found[PASSWORD]
    if ask is not None and ssid is None:
        ssid = ask("Wi-Fi network name", False)
    if ask is not None and password is None:
        password = ask("Wi-Fi password (empty: open network)", True)
    network = {"ssid": ssid or ""}
    if password:
        network["password"] = password
    return [network]
