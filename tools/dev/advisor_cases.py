"""The cases of AWS IoT Device Advisor that run here: their ids, and what each asks of a device.

Left out: MQTT_Publish_User_Property (MQTT 5 only), Job_Execution (the firmware takes commands,
not jobs) and Security_Device_Policies (about the account, see docs/security.md).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One case; its test is ``test_<id>`` in tests/e2e/advisor/."""

    id: str
    asks: str

    @property
    def category(self) -> str:
        """TLS, MQTT, Shadow or Long duration."""
        return "Long duration" if "_Long_Duration_" in self.id else self.id.split("_")[0]


_LONG = "MQTT_Long_Duration_"

CASES = (
    Case("TLS_Connect", "completes the handshake, without an alert"),
    Case("TLS_Receive_Maximum_Size_Fragments", "takes TLS records of 16 KB"),
    Case("TLS_Support_AWS_IoT_Cipher_Suites", "offers recommended suites and no others"),
    Case("TLS_Large_Size_Server_Cert", "takes a server certificate with 20 % more bytes"),
    Case("TLS_Unsecure_Server_Cert", "refuses a server of another authority"),
    Case("TLS_Incorrect_Subject_Name_Server_Cert", "refuses a server of another name"),
    Case("TLS_Expired_Server_Cert", "refuses an expired server, with an alert"),
    Case("MQTT_Connect", "sends CONNECT"),
    Case("MQTT_Client_Puback_Qos1", "acknowledges messages of 0 to 128 KB"),
    Case("MQTT_Connect_Jitter_Backoff_Retries", "no CONNACK, twice five times: jittered waits"),
    Case("MQTT_Connect_Exponential_Backoff_Retries", "no CONNACK: longer and longer waits"),
    Case("MQTT_Reconnect_Backoff_Retries_On_Server_Disconnect", "thrown out: jittered waits"),
    Case(
        "MQTT_Reconnect_Backoff_Retries_On_Unstable_Connection",
        "let in and thrown out: jittered waits, CONNACK does not reset them",
    ),
    Case("MQTT_Publish", "publishes"),
    Case("MQTT_Publish_Retry_No_Puback", "publishes again: same packet id, same connection"),
    Case("MQTT_Subscribe", "subscribes"),
    Case("MQTT_Subscribe_Retry_No_Suback", "subscribes again: same packet id, same connection"),
    Case("MQTT_No_Ack_PingResp", "hangs up on a broker that answers nothing"),
    Case("MQTT_Persistent_Session_Happy_Case", "session kept: gets what waited, no SUBSCRIBE"),
    Case("MQTT_Expired_Persistent_Session", "session gone: subscribes again"),
    Case("MQTT_Publish_Retained_Messages", "publishes with RETAIN"),
    Case("Shadow_Publish_Reported_State", "reports its state"),
    Case("Shadow_Update_Reported_State", "meets a desired state and reports it"),
    Case(_LONG + "Basic", "connects, repeats PUBLISH and SUBSCRIBE within 15 s, reconnects"),
    Case(_LONG + "PUBACK_QOS_1", "acknowledges a row of messages"),
    Case(_LONG + "RECEIVE_LARGE_PAYLOAD", "takes messages of 128 KB and goes on"),
    Case(_LONG + "PERSISTENT_SESSION", "session kept after hours of use"),
    Case(_LONG + "KEEP_ALIVE", "pings within the keep-alive"),
    Case(_LONG + "INTERMITTENT_CONNECTIVITY", "comes back after every cut, loses nothing"),
    Case(_LONG + "RECONNECT_BACK_OFF", "no CONNACK: jittered waits"),
    Case(_LONG + "LONG_SERVER_DISCONNECT", "comes back after a long outage, loses nothing"),
)
