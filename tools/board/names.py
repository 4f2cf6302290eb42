"""Names that are there before the firmware is loaded: MicroPython's, and umqtt.simple's.

Names of our own must not be mistaken for them, and may be replaced by some of them (shorten.py).
"""

from __future__ import annotations

# Every MicroPython since 1.19 has these under the same numbers: bytecode of version 6 holds the
# numbers (tests/host/test_shorten.py asks mpy-cross). Left out: self, and what the compiler takes
# for itself wherever it stands (const, micropython, range, super, main), or eval() and its like.
_NUMBERED = """
abs all any append args bool builtins bytearray bytecode bytes callable chr classmethod clear close
copy count dict divmod end endswith extend find format from_bytes get getattr hasattr hash id index
insert int isalpha isdigit isinstance islower isspace issubclass isupper items iter join key keys
len list little lower lstrip map next object open ord pop popitem pow print read readinto readline
remove replace repr reverse rfind rindex round rsplit rstrip send sep set setdefault sort
sorted split start startswith staticmethod step stop str strip sum throw to_bytes tuple type update
upper value values write zip
"""
NUMBERED = tuple(_NUMBERED.split())

# Of umqtt.simple's class, 1.3.4 to 1.8.0.
_UMQTT = """
client_id sock server port ssl ssl_params pid cb user pswd keepalive lw_topic lw_msg lw_qos
lw_retain set_callback set_last_will connect disconnect ping publish subscribe unsubscribe wait_msg
check_msg _send_str _recv_len _send_subunsub _encode_len
"""
UMQTT = frozenset(_UMQTT.split())

# Of exceptions.
EXCEPTION = frozenset(("args", "errno", "value"))

# What else objects and modules of MicroPython's have, those of ESP32 and ESP8266 included. Such a
# name costs nothing on a board: leaving one alone that could be renamed is no loss.
_BUILT_IN = """
ADC AF_INET AF_INET6 AF_UNIX AP_IF ATTN_0DB ATTN_11DB ATTN_2_5DB ATTN_6DB AUTH_OPEN AUTH_WPA2_PSK
BytesIO CERT_NONE CERT_OPTIONAL CERT_REQUIRED DAC DEEPSLEEP DEEPSLEEP_RESET EXT0_WAKE Ellipsis
Exception HARD_RESET HEAP_DATA HEAP_EXEC I2C IF_AP IF_STA IN IOBase IPPROTO_TCP IPPROTO_UDP
IRQ_FALLING IRQ_RISING MBEDTLS_VERSION MQTTClient MQTTException MSG_DONTROUTE MSG_DONTWAIT MSG_PEEK
NVS NotImplemented ONE_SHOT OPEN_DRAIN OUT OrderedDict PERIODIC PIN_WAKE PM_NONE PM_PERFORMANCE
PM_POWERSAVE POLLERR POLLHUP POLLIN POLLOUT PROTOCOL_DTLS_CLIENT PROTOCOL_DTLS_SERVER
PROTOCOL_TLS_CLIENT PROTOCOL_TLS_SERVER PULL_DOWN PULL_UP PWM PWRON_RESET Partition Pin RMT RTC
RingIO SOCK_DGRAM SOCK_RAW SOCK_STREAM SOFT_RESET SOL_SOCKET SO_BROADCAST SO_ERROR SO_KEEPALIVE
SO_LINGER SO_REUSEADDR SPI SSLContext STAT_ASSOC_FAIL STAT_BEACON_TIMEOUT STAT_CONNECTING
STAT_CONNECT_FAIL STAT_GOT_IP STAT_HANDSHAKE_TIMEOUT STAT_IDLE STAT_NO_AP_FOUND STAT_WRONG_PASSWORD
STA_IF Signal SoftI2C SoftSPI StringIO TCP_NODELAY TIMER_WAKE Timer TouchPad UART ULP VfsFat
VfsLfs1 VfsLfs2 VfsPosix VfsRom WDT WDT_RESET WLAN a2b_base64 accept acquire active add addr
addrsize alarm alarm_left alloc_emergency_exception_buf appendleft argv array atexit atten
b2a_base64 bin bind bitstream bssid buffer byteorder cadata calcsize callback cancel center cert
cert_reqs channel chdir check_fw check_hostname choice cipher collect compile complex config const
core country crc32 datetime decode deepsleep deinit delattr deleter deque dhcp difference
difference_update digest dir disable disable_irq discard do_handshake drive dump dumps dupterm
enable enable_irq encode enumerate eval event exec execfile executable exit feed fileno filter
flash_erase flash_read flash_size flash_write float flush freq fromkeys frozenset gather
get_ciphers get_running getaddrinfo getcwd getpeercert getrandbits getter getvalue globals gmtime
hard heap_lock heap_unlock help hexdigest hexlify hidden host hostname idf_heap_info idle ifconfig
ilistdir implementation inet_ntop inet_pton init input intersection intersection_update io ioctl
ipconfig ipoll irq is_set isconnected isdisjoint isenabled issubset issuperset kbd_intr lightsleep
listdir listen load load_cert_chain load_verify_locations loads locals localtime locked mac
makefile mark_app_valid_cancel_rollback match max maxsize mcu_temperature md5 mem16 mem32 mem8
mem_alloc mem_free mem_info memaddr memory memoryview min mkdir mkfs mktime mode modify modules
mount name namedtuple off on opt_level osdebug pack pack_into partition path peek period phy_mode
platform pm poll popleft print_exception property ps1 ps2 pull push qstr_info randint random
randrange range raw_temperature read_u16 read_uv readblocks readexactly readfrom readfrom_into
readfrom_mem readfrom_mem_into readlines reconnects recv recv_into recvfrom register release rename
reset reset_cause reversed rmdir rpartition rssi run scan schedule scl sda search security seed
seek select sendall sendto server_hostname server_side set_boot set_ciphers setattr setblocking
setsockopt setter settime settimeout sha1 sha256 sleep sleep_ms sleep_type sleep_us slice sockaddr
socket soft_reset splitlines ssid stack_use stat status statvfs stderr stdin stdout stream struct
sub super symmetric_difference symmetric_difference_update sync sys tell threshold ticks ticks_add
ticks_cpu ticks_diff ticks_ms ticks_us time time_ns time_pulse_us timeout timeout_ms toggle txpower
umount uname unhexlify uniform union unique_id unlink unpack unpack_from unregister urandom
verify_callback verify_mode version version_info wait wake_on_ext0 wake_reason wrap_socket
writeblocks writeto writeto_mem writevto
"""
BUILT_IN = frozenset(_BUILT_IN.split()) | frozenset(NUMBERED) | UMQTT | EXCEPTION
