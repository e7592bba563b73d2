# SPDX-License-Identifier: GPL-2.0-only
#
#   make           build build/seep (installs Debian's packages first when they are missing and we are root)
#   make check     build and run all tests (BPF tests need root)
#   make unit      only the tests that need no root, under ASan and UBSan
#   make bench     figures as ratios within one run
#   make fuzz      each fuzzer for FUZZ_SECONDS
#   make demo      record a small leaking service and show what seep says
#   make install   DESTDIR and PREFIX are honoured
#   make clean

VERSION := 0.1.0
PREFIX ?= /usr/local
DESTDIR ?=
BUILD ?= build
CC ?= gcc
CLANG ?= clang
LLVM_STRIP ?= llvm-strip
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool /usr/local/sbin/bpftool) bpftool)
FUZZ_SECONDS ?= 60

PACKAGES := gcc g++ make pkg-config clang llvm libbpf-dev bpftool libelf-dev libdw-dev libzydis-dev \
	libiberty-dev libsqlite3-dev zlib1g-dev liblzma-dev libjansson-dev libncurses-dev binutils
DEMO_PACKAGES := python3 python3-tornado
TEST_PACKAGES := libcmocka-dev libasan8 libubsan1 libclang-rt-14-dev musl-tools gdb xz-utils \
	libjemalloc2 libgoogle-perftools4 libtcmalloc-minimal4 libmimalloc2.0 libc++1 libc++abi1 \
	redis-server redis-tools nginx-light wrk sqlite3 mmdebstrap util-linux groff man-db chromium tmux \
	python3-dev python3-venv python3-numpy python3-greenlet $(DEMO_PACKAGES)

# readers of what a report exports; npm, which has hundreds of packages below it, only where there is none
TEST_PACKAGES += golang-go perl nodejs python3-jsonschema python3-prometheus-client \
	$(if $(shell command -v npm),,npm)

LIBS := -lbpf -ldw -lelf -lZydis -liberty -lsqlite3 -llzma -lz -ljansson -lncursesw -ltinfo -lm -lpthread
WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-unused-parameter
CFLAGS ?= -O2 -g
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -DSEEP_VERSION='"$(VERSION)"' $(WARN) -fno-strict-aliasing \
	-Isrc -Iinclude -I$(BUILD) -MMD -MP $(CFLAGS) $(SANITIZE)
# -mcpu=v3: 32-bit subregisters and atomics (Linux 5.12)
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -std=gnu11 -Wall -Wextra -Wno-unused-parameter \
	-Wno-unused-function -Wno-gnu-variable-sized-type-not-at-end -D__TARGET_ARCH_x86 -Iinclude -MMD -MP

STAGES := base elf target unwind python probe profile export store tui cli
SRCS := $(foreach stage,$(STAGES),$(wildcard src/$(stage)/*.c))
OBJS := $(SRCS:src/%.c=$(BUILD)/%.o)
BPF_OBJS := $(patsubst bpf/%.bpf.c,$(BUILD)/bpf/%.bpf.o,$(wildcard bpf/*.bpf.c))
SKELETON := $(BUILD)/seep.skel.h
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))

.PHONY: all deps test-deps demo-deps check unit check-bpf check-vm bench fuzz demo install clean print-packages
.DELETE_ON_ERROR:
.SECONDARY:

all: deps $(BUILD)/seep

# ---- packages: only when something is missing, only on systems with apt, only as root ---------

define install_missing
	@missing=$$(for p in $(1); do dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	[ -z "$$missing" ] || ! command -v apt-get >/dev/null || { \
		[ "$$(id -u)" = 0 ] || { echo "seep: missing packages, as root: apt-get install" $$missing >&2; exit 1; }; \
		echo "installing" $$missing; \
		apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing >/dev/null; }
endef

deps:
	$(call install_missing,$(PACKAGES))

test-deps: deps
	$(call install_missing,$(TEST_PACKAGES))

demo-deps: deps
	$(call install_missing,$(DEMO_PACKAGES))

print-packages:
	@echo $(PACKAGES) $(TEST_PACKAGES)

# ---- BPF ------------------------------------------------------------------------------------

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c | deps
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c $< -o $@
	$(LLVM_STRIP) -g $@

$(BUILD)/bpf/seep.linked.o: $(BPF_OBJS)
	$(BPFTOOL) gen object $@ $^

$(SKELETON): $(BUILD)/bpf/seep.linked.o
	$(BPFTOOL) gen skeleton $< name seep_bpf > $@

# ---- program ----------------------------------------------------------------------------------

$(BUILD)/%.o: src/%.c | deps $(SKELETON)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -c $< -o $@

$(BUILD)/store/recording_format.o: $(BUILD)/schema.inc
$(BUILD)/schema.inc: $(wildcard src/store/schema.sql)
	@mkdir -p $(@D)
	sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' $< > $@

# the page of the HTML report: a file, or several in a row, as one C string
define c_string
	@mkdir -p $(@D)
	cat $^ | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/^/"/' -e 's/$$/\\n"/' > $@
endef
HTML := src/export/html

$(BUILD)/export/html.o: $(BUILD)/html_report.inc $(BUILD)/html_style.inc $(BUILD)/html_script.inc
$(BUILD)/html_report.inc: $(HTML)/report.html
	$(c_string)
$(BUILD)/html_style.inc: $(HTML)/style.css
	$(c_string)
$(BUILD)/html_script.inc: $(patsubst %,$(HTML)/%.js,format data timeline flame table detail report)
	$(c_string)

$(BUILD)/libseep.a: $(OBJS)
	@rm -f $@
	$(AR) rcs $@ $^

$(BUILD)/seep: $(BUILD)/main.o $(BUILD)/libseep.a
	$(CC) $(SANITIZE) $(LDFLAGS) -o $@ $^ $(LIBS)

# ---- tests --------------------------------------------------------------------------------------

$(BUILD)/tests/%: tests/unit/%.c $(BUILD)/libseep.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests -o $@ $< $(BUILD)/libseep.a $(LIBS) -lcmocka

# the recordings of the unit tests, for readers of what a report exports
$(BUILD)/tools/recordings: tests/tools/recordings.c $(BUILD)/libseep.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Wno-missing-field-initializers -Itests -o $@ $< $(BUILD)/libseep.a $(LIBS) -lcmocka

unit: test-deps
	$(MAKE) BUILD=$(BUILD)/asan SANITIZE='-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer' CFLAGS='-O1 -g' unit-run

.PHONY: unit-run
unit-run: $(UNIT_TESTS)
	tests/run-unit.sh $(UNIT_TESTS)

check-bpf: test-deps all
	BUILD=$(BUILD) tests/run-bpf.sh

# other kernels, in qemu; takes long
check-vm: all
	BUILD=$(BUILD) tests/run-vm.sh

check: test-deps all
	tests/run-all.sh $(BUILD)

# ---- fuzzers: everything once more, by clang, with coverage ----------------------------------------

FUZZERS := $(patsubst tests/fuzz/%.c,$(BUILD)/%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_SANITIZE := -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined

fuzz: test-deps
	$(MAKE) BUILD=$(BUILD)/fuzz CC=$(CLANG) SANITIZE='$(FUZZ_SANITIZE)' CFLAGS='-O1 -g' fuzz-build
	tests/fuzz/run.sh $(BUILD)/fuzz $(FUZZ_SECONDS)

.PHONY: fuzz-build
fuzz-build: $(FUZZERS)

$(BUILD)/fuzz_%: tests/fuzz/fuzz_%.c $(BUILD)/libseep.a
	$(CC) $(ALL_CFLAGS) -fsanitize=fuzzer -Itests -o $@ $< $(BUILD)/libseep.a $(LIBS)

# ---- figures, demonstration, installation ----------------------------------------------------------------

$(BUILD)/bench/%: tests/bench/%.c $(BUILD)/libseep.a
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) -Itests -o $@ $< $(BUILD)/libseep.a $(LIBS)

bench: all $(BUILD)/bench/bench $(BUILD)/bench/pairs $(BUILD)/bench/python $(BUILD)/bench/report
	tests/bench/run.sh $(BUILD)

demo: all demo-deps
	tests/demo/run.sh $(BUILD)

install: all
	install -D -m 755 $(BUILD)/seep $(DESTDIR)$(PREFIX)/sbin/seep
	install -d $(DESTDIR)$(PREFIX)/share/man/man8
	gzip -9nc src/man/seep.8 > $(DESTDIR)$(PREFIX)/share/man/man8/seep.8.gz

clean:
	rm -rf $(BUILD)

-include $(OBJS:.o=.d) $(BUILD)/main.d $(BPF_OBJS:.o=.d) $(UNIT_TESTS:=.d)
