# Sign and verify models from a Makefile; modelseal-make(7) says how. For GNU make.
#
#   MODEL_DIR := my-model
#   KEY       := keys/private.pem
#   SIGNER_ID := alice@example.com
#   include $(shell modelseal --makefile)

MODELSEAL ?= modelseal

ifeq ($(strip $(MODEL_DIR)),)
$(error modelseal.mk: set MODEL_DIR before including it)
endif

# Whoever includes this chooses what make does by itself.
modelseal.goal := $(.DEFAULT_GOAL)
modelseal.makefiles := $(filter-out $(lastword $(MAKEFILE_LIST)),$(MAKEFILE_LIST))
modelseal.none :=
modelseal.space := $(modelseal.none) $(modelseal.none)

# A space in a name is `\ ` where make reads it, `|` in lists of this file, itself in a shell.
modelseal.packed = $(subst \$(modelseal.space),|,$(1))
modelseal.escaped = $(subst |,\$(modelseal.space),$(1))
modelseal.plain = $(subst |,$(modelseal.space),$(modelseal.packed))
modelseal.quoted = '$(subst ','\'',$(modelseal.plain))'
modelseal.option = $(if $(2),$(modelseal.space)$(1) $(call modelseal.quoted,$(2)))
modelseal.flags = $(if $(1),$(modelseal.space)$(1))
# In quotes the shell leaves a tilde alone.
modelseal.path = $(subst |,,$(subst |~/,$(HOME)/,|$(modelseal.plain)))

modelseal.dirs := $(patsubst %/,%,$(call modelseal.packed,$(MODEL_DIR)))
modelseal.verifies := $(call modelseal.escaped,$(addprefix verify-seal/,$(modelseal.dirs)))
modelseal.statuses := $(call modelseal.escaped,$(addprefix seal-status/,$(modelseal.dirs)))
MODEL_MANIFESTS := $(call modelseal.escaped,$(addsuffix /signed_manifest.json,$(modelseal.dirs)))

# What is newer than the manifest of a model is found, not listed: names may hold what make can't,
# and make would look for ways to make each. A directory is newer once a name in it has gone.
modelseal.find = cd -- $(modelseal.quoted) && find \
	$(if $(findstring --follow-symlinks,$(SIGN_FLAGS)),-L) . \( -path ./.git -o -path ./.modelseal \
	-o -path ./signed_manifest.json -o -path ./model.sig \) -prune -o
modelseal.newer = $(shell CDPATH= && ($(modelseal.find) -newer signed_manifest.json -print) \
	2>/dev/null | sed 1q)

# A check never signs, but waits for what does.
define modelseal.rules
$(call modelseal.escaped,$(1)/signed_manifest.json): $(if $(modelseal.newer),modelseal.force)
$(call modelseal.escaped,verify-seal/$(1) seal-status/$(1)): modelseal.force \
	$(if $(filter seal,$(MAKECMDGOALS)),| $(call modelseal.escaped,$(1)/signed_manifest.json))
endef

.PHONY: seal verify-seal seal-status modelseal.force $(modelseal.verifies) $(modelseal.statuses)
# An interrupted make would delete a manifest that was just written.
.PRECIOUS: $(MODEL_MANIFESTS)

seal: $(MODEL_MANIFESTS)
verify-seal: $(modelseal.verifies)
seal-status: $(modelseal.statuses)
$(foreach dir,$(modelseal.dirs),$(eval $(call modelseal.rules,$(dir))))
$(MODEL_MANIFESTS): $(modelseal.makefiles) \
	$(subst $(modelseal.space),\$(modelseal.space),$(call modelseal.path,$(KEY)))

modelseal.about = $(call modelseal.option,--model-name,$(MODEL_NAME))$(call \
	modelseal.option,--model-version,$(MODEL_VERSION))$(call \
	modelseal.option,--framework,$(FRAMEWORK))
modelseal.sign = $(MODELSEAL) sign --if-changed --model-dir $(modelseal.quoted)$(call \
	modelseal.option,--key,$(call modelseal.path,$(KEY)))$(call \
	modelseal.option,--signer-id,$(SIGNER_ID))$(modelseal.about)$(call \
	modelseal.flags,$(SIGN_FLAGS))
modelseal.verify = $(MODELSEAL) verify --manifest $(call \
	modelseal.quoted,$(1)/signed_manifest.json) --model-dir $(modelseal.quoted)$(call \
	modelseal.option,--key,$(call modelseal.path,$(PUBLIC_KEY)))$(call \
	modelseal.option,--registry,$(call modelseal.path,$(REGISTRY)))$(call \
	modelseal.flags,$(VERIFY_FLAGS))
modelseal.status = $(MODELSEAL) status $(modelseal.quoted)$(call modelseal.flags,$(STATUS_FLAGS))

# Writing the manifest makes its directory newer, so the manifest gets the directory's time; unless
# something else changed since signing began: then the next make looks again.
modelseal.silent = $(findstring s,$(firstword -$(MAKEFLAGS)))
define modelseal.seal
@$(if $(modelseal.silent),,$(info $(modelseal.sign)))began=$$(mktemp) || exit; \
trap 'rm -f "$$began"' EXIT; trap 'exit 130' HUP INT TERM; $(modelseal.sign) || exit; \
CDPATH=; changed=$$($(modelseal.find) ! -name . -newer "$$began" -print | sed 1q); \
touch -r "$$began" -- $(call modelseal.quoted,$@); \
[ "$$changed" ] || [ ! $(modelseal.quoted) -nt "$$began" ] || \
touch -r $(modelseal.quoted) -- $(call modelseal.quoted,$@)
endef

$(MODEL_MANIFESTS):
	$(call modelseal.seal,$(subst /signed_manifest.json|,,$@|))

$(modelseal.verifies):
	$(call modelseal.verify,$(subst |verify-seal/,,|$@))

$(modelseal.statuses):
	$(call modelseal.status,$(subst |seal-status/,,|$@))

.DEFAULT_GOAL := $(modelseal.goal)
