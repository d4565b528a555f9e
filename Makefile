# tpm_fdw: a foreign data wrapper for JSON:API services.
#
# all, install, installcheck are PGXS's; demo, check, soak, lint, fuzz and bench install what
# they need from Debian's packages first, so they work where there is no
# PostgreSQL yet and this file must be readable without pg_config.

MODULE_big = tpm_fdw
EXTENSION = tpm_fdw
OBJS = $(patsubst %.c,%.o,$(sort $(shell find src -name '*.c')))
DATA = $(wildcard sql/extension/tpm_fdw--*.sql)
REGRESS = $(patsubst sql/%.sql,%,$(sort $(wildcard sql/*.sql)))
EXTRA_CLEAN = $(patsubst %.c,%.d,$(shell find src -name '*.c')) results regression.diffs regression.out

# PostgreSQL's own callbacks leave parameters unused, and so do ours
WARNINGS = -Wall -Wextra -Wno-unused-parameter
# a function that no header declares returns an int, which cuts sizes and pointers
WARNINGS += -Werror=implicit-function-declaration

PG_CONFIG ?= pg_config
PG_CPPFLAGS = -Isrc
SHLIB_LINK = -lcurl -lyaml
# bitcode serves inlining into expressions; none of our functions is one
override with_llvm = no

SCRIPTED = demo check soak lint fuzz bench matrix assert
SCRIPTED += deb dist

.DEFAULT_GOAL := all

ifneq ($(filter $(SCRIPTED),$(MAKECMDGOALS)),)
# PGXS has a target "check" of its own, for modules inside PostgreSQL's tree
.PHONY: $(SCRIPTED)
$(SCRIPTED):
	@PG_CONFIG='$(PG_CONFIG)' SEED='$(SEED)' SANITIZE='$(SANITIZE)' VERSIONS='$(VERSIONS)' bash $(firstword $(wildcard test/$@/run) test/$@)
else ifneq ($(shell command -v $(PG_CONFIG) 2>/dev/null),)
PGXS := $(shell $(PG_CONFIG) --pgxs)
# the scripts ask a sandbox: test/regress starts one and comes back with its port
ifeq ($(TPM_SANDBOX_PORT),)
NO_INSTALLCHECK = 1
endif
include $(PGXS)
ifdef NO_INSTALLCHECK
.PHONY: installcheck
installcheck:
	@test/install-deps demo
	@PG_CONFIG='$(PG_CONFIG)' test/regress --installcheck
endif

# headers of PostgreSQL are not ours to warn about
override CPPFLAGS := $(patsubst -I$(shell $(PG_CONFIG) --includedir-server),-isystem $(shell $(PG_CONFIG) --includedir-server),$(CPPFLAGS))
# what PostgreSQL was configured with is gcc's; clang does not know it
ifneq ($(findstring clang,$(CC)),)
override CFLAGS := $(filter-out -fexcess-precision=standard -Wimplicit-fallthrough=3 -Wno-format-truncation -Wno-stringop-truncation -ffat-lto-objects -Wcast-function-type -Wshadow=compatible-local,$(CFLAGS))
endif
override CFLAGS += $(WARNINGS) -MMD -MP $(EXTRA_CFLAGS)
-include $(OBJS:.o=.d)
else
all install installcheck:
	@echo "pg_config not found: run test/install-deps build" >&2; exit 1
endif
