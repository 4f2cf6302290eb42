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

# What objects and modules of MicroPython's have, those of ESP32 and ESP8266 included. Such a name
# costs nothing on a board: leaving one alone that could be renamed is no loss.
_BUILT_IN = """
ADC AF_INET AF_INET6 AF_UNIX AP_IF BytesIO CERT_NONE CERT_OPTIONAL CERT_REQUIRED DAC
DEEPSLEEP_RESET Ellipsis Exception HARD_RESET HEAP_DATA HEAP_EXEC I2C IN IOBase IPPROTO_TCP
IPPROTO_UDP IRQ_FALLING IRQ_RISING MBEDTLS_VERSION MQTTClient MQTTException MSG_DONTROUTE
MSG_DONTWAIT MSG_PEEK NVS NotImplemented ONE_SHOT OPEN_DRAIN OUT OrderedDict PERIODIC POLLERR
POLLHUP POLLIN POLLOUT PROTOCOL_DTLS_CLIENT PROTOCOL_DTLS_SERVER PROTOCOL_TLS_CLIENT
PROTOCOL_TLS_SERVER PULL_DOWN PULL_UP PWM PWRON_RESET Partition Pin RMT RTC RingIO SOCK_DGRAM
SOCK_RAW SOCK_STREAM SOFT_RESET SOL_SOCKET SO_BROADCAST SO_ERROR SO_KEEPALIVE SO_LINGER
SO_REUSEADDR SPI SSLContext STAT_CONNECTING STAT_CONNECT_FAIL STAT_GOT_IP STAT_IDLE
STAT_NO_AP_FOUND STAT_WRONG_PASSWORD STA_IF Signal SoftI2C SoftSPI StringIO TCP_NODELAY Timer
TouchPad UART ULP VfsFat VfsLfs1 VfsLfs2 VfsPosix VfsRom WDT WDT_RESET WLAN a2b_base64 abs accept
acquire active add alarm alarm_left all alloc_emergency_exception_buf any append appendleft args
argv array atexit b2a_base64 bin bind bitstream bool buffer bytearray byteorder bytes calcsize
callable callback cancel center chdir check_fw check_hostname choice chr cipher classmethod clear
clock close collect compile complex config const copy core count country crc32 datetime decode
deepsleep deinit delattr deleter deque dict difference difference_update digest dir disable
disable_irq discard divmod drive dump dumps dupterm enable enable_irq encode endswith enumerate
errno eval event exec execfile executable exit extend feed fileno filter find flash_erase
flash_read flash_size flash_write float flush format freq from_bytes fromkeys frozenset gather get
get_ciphers get_running getaddrinfo getattr getcwd getpeercert getrandbits getter getvalue globals
gmtime hard hasattr hash heap_lock heap_unlock help hexdigest hexlify high host hostname id
idf_heap_info idle ifconfig ilistdir implementation index inet_ntop inet_pton init input insert int
intersection intersection_update io ioctl ipconfig ipoll irq is_set isalpha isconnected isdigit
isdisjoint isenabled isinstance islower isspace issubclass issubset issuperset isupper items iter
join kbd_intr keys len lightsleep list listdir listen load load_cert_chain load_verify_locations
loads locals localtime locked low lower lstrip makefile map mark_app_valid_cancel_rollback match
max maxsize mcu_temperature md5 mem16 mem32 mem8 mem_alloc mem_free mem_info memory memoryview min
mkdir mkfs mktime mode modify modules mount name namedtuple next object off on open opt_level ord
osdebug pack pack_into partition path peek period phy_mode platform poll pop popitem popleft pow
print print_exception property ps1 ps2 pull push qstr_info randint random randrange range
raw_temperature read readblocks readexactly readfrom readfrom_into readfrom_mem readfrom_mem_into
readinto readline readlines recv recv_into recvfrom register release remove rename replace repr
reset reset_cause reverse reversed rfind rindex rmdir round rpartition rsplit rstrip run scan
schedule search seed seek select send sendall sendto sep set set_boot set_ciphers setattr
setblocking setdefault setsockopt setter settime settimeout sha1 sha256 sleep sleep_ms sleep_type
sleep_us slice sockaddr socket soft_reset sort sorted split splitlines stack_use start startswith
stat staticmethod status statvfs stderr stdin stdout step stop str stream strip struct sub sum
super symmetric_difference symmetric_difference_update sync sys tell threshold throw ticks
ticks_add ticks_cpu ticks_diff ticks_ms ticks_us time time_ns time_pulse_us timeout to_bytes toggle
tuple type umount uname unhexlify uniform union unique_id unlink unpack unpack_from unregister
update upper urandom value values verify_callback verify_mode version version_info wait
wake_on_ext0 wake_reason wrap_socket write writeblocks writeto writeto_mem writevto zip
"""
BUILT_IN = frozenset(_BUILT_IN.split()) | frozenset(NUMBERED) | UMQTT | EXCEPTION
