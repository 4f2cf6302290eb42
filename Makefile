# Every target is one line of `python -m tools`; `make help` lists them with what they take.

PYTHON ?= python3
TOOLS = .venv/bin/python -m tools
opt = $(if $(2),--$(1) '$(2)')
PORT_ = $(call opt,port,$(PORT))
BOARD_ = $(call opt,board,$(BOARD))
UMQTT_ = $(call opt,umqtt,$(UMQTT))
FIRMWARE_ = $(call opt,firmware,$(FIRMWARE))
BAUD_ = $(call opt,baud,$(BAUD))
FLEET_ = $(call opt,from,$(FLEET))
LOCAL_ = $(if $(filter-out 0 no,$(LOCAL)),--local)

# A target takes the variables in the brackets of its line below, and is refused any other, so that
# none is passed over in silence; LOCAL from the environment too.
# The tools spell their remedies as they were called; WIFI_SSID, AWS_PROFILE ... are for them.
export FIELDMOUSE_TARGET = $@
goals := $(or $(MAKECMDGOALS),help)
taken = $(shell sed -n 's/^$(1):.*(\(.*\))$$/\1/p' Makefile | sed 's/=[^,]*//g; s/,/ /g')
given := $(foreach v,$(.VARIABLES),$(if $(filter command,$(origin $v)),$v))
given := $(filter-out PYTHON MICROPYTHON AWS_% WIFI_% FIELDMOUSE_%,$(given))
all_taken := $(if $(given),$(foreach goal,$(goals),$(call taken,$(goal))))
$(foreach v,$(filter-out $(all_taken),$(given)),$(error make $(goals) takes no $v; see make help))
$(if $(LOCAL),$(foreach goal,$(goals),$(if $(filter LOCAL,$(call taken,$(goal))),,$(error make $(goal) takes no LOCAL))))

.DEFAULT_GOAL := help
.PHONY: help setup ready sim test check soak advisor lint bench bench-heap bench-sensors bench-awake bench-update bench-link bench-flash-time ports provision flash \
	bench-flash try-flash deploy logs repl crashlog erase hil doctor watch battery things rotate revoke deprovision clean

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' Makefile

setup: ## Install what is missing into this checkout: .venv and .tools, nothing outside
	@$(PYTHON) -m tools.setup

ready:
	@$(PYTHON) -m tools.setup --quiet $(MAKECMDGOALS) $(if $(PORT),ports)

sim: ready ## Run it all here, without board or account: local AWS, N virtual boards, a live view (THING, N, BOARD, INTERVAL=S, POWER=battery, SENSOR=CHIP, TEMPERATURE=VALUE, SCENE=unplug@30, CHAOS=FAULTS, LAN=1, UPDATE=1)
	@$(TOOLS) sim $(call opt,thing,$(THING)) $(call opt,things,$(N)) $(BOARD_) $(call opt,interval,$(INTERVAL)) $(call opt,power,$(POWER)) $(call opt,sensor,$(SENSOR)) $(call opt,temperature,$(TEMPERATURE)) $(call opt,scene,$(SCENE)) $(call opt,chaos,$(CHAOS)) $(if $(filter 1 yes,$(LAN)),--lan) $(if $(filter 1 yes,$(UPDATE)),--update)

test: ready ## Run lint, types, device tests, host tests, end-to-end tests (UMQTT=DIR, MICROPYTHON=PATH)
	@$(TOOLS) test $(UMQTT_)

check: ready ## Run what takes under a minute: lint, types, layout, device tests of changed files
	@$(TOOLS) check

soak: ready ## Run the long tests of the link: faults, reconnects, fuzz, a week asleep (PART, SEED)
	@$(TOOLS) soak $(PART) $(call opt,seed,$(SEED))

advisor: ready ## Run the cases of AWS IoT Device Advisor against a virtual board (CASE=TEXT, JSON=FILE, UMQTT=DIR)
	@$(TOOLS) advisor $(call opt,json,$(JSON)) $(UMQTT_) $(if $(CASE),-k '$(CASE)')

lint: ready ## Run ruff and mypy --strict
	@$(TOOLS) lint

bench: ready ## Measure all that bench/ can measure, without a board
	@$(TOOLS) bench

bench-flash-time: ready ## Measure one image in one pass against copying file by file
	@$(TOOLS) bench flash

bench-heap: ready ## Measure the smallest heap the firmware runs a session in
	@$(TOOLS) bench heap

bench-sensors: ready ## Measure what each driver takes: heap, bytes on the bus, time (MARKDOWN=1)
	@$(TOOLS) bench 'sensors$(if $(MARKDOWN), --markdown)'

bench-awake: ready ## Measure what a board that sleeps takes from wake to sleep (MARKDOWN=1, UPDATE=1)
	@$(TOOLS) bench 'awake$(if $(MARKDOWN), --markdown)$(if $(UPDATE), --update)'

bench-update: ready ## Measure what an update by air costs: bytes, messages, seconds (MARKDOWN=1)
	@$(TOOLS) bench 'update$(if $(MARKDOWN), --markdown)'

bench-link: ready ## Measure publishing against plain umqtt.simple, in turn, near and far (UMQTT=DIR, MARKDOWN=1, ALSO=CHECKOUT)
	@$(TOOLS) bench 'link$(if $(UMQTT), --umqtt "$(UMQTT)")$(if $(ALSO), --also "$(ALSO)")$(if $(MARKDOWN), --markdown)'

ports: ready ## List the boards that are plugged in
	@$(TOOLS) ports

provision: ready ## Make a thing on AWS IoT: registry entry, key, certificate, policy, configuration (THING or FLEET=FILE.csv, BOARD, LOCAL=1)
	@$(TOOLS) provision $(THING) $(FLEET_) $(BOARD_) $(LOCAL_)

flash: ready ## Put MicroPython, firmware, configuration and certificates onto a board (THING, PORT, BOARD, FIRMWARE, VERSION, BAUD, KEEP=no, WAIT=no, LOCAL=1)
	@$(TOOLS) flash $(THING) $(PORT_) $(BOARD_) $(FIRMWARE_) $(BAUD_) $(call opt,version,$(VERSION)) $(call opt,keep,$(KEEP)) $(if $(filter no,$(WAIT)),--no-wait) $(LOCAL_)

bench-flash: ready ## Flash a bench full of boards, each the next thing of FLEET (FLEET=FILE.csv, CLAIM=TEMPLATE, CONFIG=FILE.json, BOARD, FIRMWARE, BAUD)
	@$(TOOLS) bench-flash $(call opt,fleet,$(FLEET)) $(call opt,claim,$(CLAIM)) $(call opt,config,$(CONFIG)) $(BOARD_) $(FIRMWARE_) $(BAUD_)

deploy: ready ## Send the files that changed to a flashed board and restart it (THING, PORT, BOARD, LOCAL=1)
	@$(TOOLS) deploy $(THING) $(PORT_) $(BOARD_) $(LOCAL_)

logs: ready ## Follow the log of a board through its resets (PORT)
	@$(TOOLS) logs $(PORT_)

repl: ready ## Open the Python prompt of a board (PORT)
	@$(TOOLS) repl $(PORT_)

crashlog: ready ## Show what a board has written about its last crashes (PORT)
	@$(TOOLS) crashlog $(PORT_)

erase: ready ## Erase the whole flash of a board, waiting readings included (PORT)
	@$(TOOLS) erase $(PORT_)

hil: ready ## Run the flash scenario on a real board and print its table (PORT, THING, BOARD, FIRMWARE)
	@$(TOOLS) hil $(PORT_) $(call opt,thing,$(THING)) $(BOARD_) $(FIRMWARE_)

doctor: ready ## Say what is wrong between a thing and AWS, and the command that mends it (THING, PORT, LOCAL=1)
	@$(TOOLS) doctor $(THING) $(PORT_) $(LOCAL_)

watch: ready ## Show readings and shadow changes as they arrive, of all things or one (THING, LOCAL=1)
	@$(TOOLS) watch $(THING) $(LOCAL_)

battery: ready ## Estimate how long a battery lasts, and what takes how much of it (MAH, INTERVAL=SECONDS, BATCH=READINGS, BOARD, KIT, SENSOR=CHIP, RTT=MS, CELL, UA)
	@$(TOOLS) battery $(call opt,mah,$(MAH)) $(call opt,interval,$(INTERVAL)) $(call opt,batch,$(BATCH)) $(BOARD_) $(call opt,kit,$(KIT)) $(call opt,sensor,$(SENSOR)) $(call opt,rtt-ms,$(RTT)) $(call opt,cell,$(CELL)) $(call opt,sleep-ua,$(UA))

things: ready ## List things, their certificates, and when each was last seen (LOCAL=1)
	@$(TOOLS) things $(LOCAL_)

rotate: ready ## Give a thing a new certificate; the old one goes when the new one has connected (THING or FLEET=FILE.csv, LOCAL=1)
	@$(TOOLS) rotate $(THING) $(FLEET_) $(LOCAL_)

revoke: ready ## Revoke the certificate of a lost or stolen thing (THING or FLEET=FILE.csv, LOCAL=1)
	@$(TOOLS) revoke $(THING) $(FLEET_) $(LOCAL_)

deprovision: ready ## Remove a thing and all that provision made for it (THING or FLEET=FILE.csv, LOCAL=1)
	@$(TOOLS) deprovision $(THING) $(FLEET_) $(LOCAL_)

try-flash: ready ## Flash a virtual board on a local AWS, then try logs, deploy, repl on it, until Ctrl-C (THING, BOARD)
	@$(TOOLS) try-flash $(call opt,thing,$(THING)) $(BOARD_)

clean: ## Remove everything that setup and the tools made; things/ with its keys stays
	@rm -rf .venv .tools .sim build .pytest_cache .mypy_cache .ruff_cache .hypothesis
