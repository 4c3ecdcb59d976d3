#!/bin/sh
# Have the reference implementation of OpenSSF Model Signing in an environment of its own, .reference,
# for the tests that sign there and verify here, and the other way round. Made once.
set -eu

version=1.1.1
environment=.reference
if [ -x "$environment/bin/model_signing" ] && [ -e "$environment/$version" ]; then
	exit 0
fi
"${PYTHON:-python3}" -m venv "$environment"
# It does not say that it needs pyOpenSSL.
if "$environment/bin/python" -m pip install --quiet --disable-pip-version-check \
	"model-signing==$version" pyOpenSSL; then
	touch "$environment/$version"
else
	echo "not installed, so some tests can't run: model-signing" >&2
fi
