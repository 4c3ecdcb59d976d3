#!/bin/sh
# The main job on a real model, step by step. Every step says what it runs; the demo fails if a step
# ends with another exit code than the one it should have.
set -eu

PATH="$MODELSEAL_BIN:$PATH"
export PATH
rm -rf demo
mkdir demo
cd demo
# Nothing of it in the home directory.
export XDG_CONFIG_HOME="$PWD/home" XDG_STATE_HOME="$PWD/home"

say() { printf '\n\033[1m# %s\033[0m\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[01]m//g'; fi; }

step() { # expected exit code, command...
	expected=$1
	shift
	printf '$ %s\n' "$*"
	code=0
	"$@" || code=$?
	if [ "$code" != "$expected" ]; then
		echo "demo: exit code $code, expected $expected" >&2
		exit 1
	fi
	[ "$code" = 0 ] || echo "(exit code $code, as it should be)"
}

say 'Fetch a small real model: silero-vad, a voice activity detector, from its wheel'
step 0 python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
	--dest wheel 'silero-vad>=5'
python - <<'PY'
import pathlib, zipfile
(wheel,) = pathlib.Path("wheel").glob("*.whl")
model = pathlib.Path("silero-vad")
model.mkdir()
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        path = pathlib.PurePosixPath(name)
        if path.suffix in {".onnx", ".jit", ".safetensors"}:
            (model / path.name).write_bytes(archive.read(name))
PY
step 0 ls -l silero-vad

say 'The publisher makes a key pair, once'
step 0 modelseal keygen --output keys

say 'The publisher signs the model'
step 0 modelseal sign --model-dir silero-vad --key keys/private.pem --signer-id you@example.com \
	--model-name silero-vad --model-version 1.0.0 --framework onnx

say 'What the signed manifest says'
step 0 modelseal inspect --manifest silero-vad/signed_manifest.json

say 'The receiver checks who signed it, and every byte'
step 0 modelseal verify --manifest silero-vad/signed_manifest.json --key keys/public.pem \
	--model-dir silero-vad

say 'One byte of one file altered: caught'
victim=$(find silero-vad -name '*.onnx' | sort | head -n 1)
cp "$victim" original
step 0 python -c 'import sys; f = open(sys.argv[1], "r+b"); f.seek(1000); b = f.read(1); f.seek(1000); f.write(bytes([b[0] ^ 1]))' "$victim"
step 2 modelseal verify --manifest silero-vad/signed_manifest.json --key keys/public.pem \
	--model-dir silero-vad
mv original "$victim"

say 'A file that a loader would run, planted beside the signed ones: caught'
echo 'print("gotcha")' >silero-vad/modeling_evil.py
step 2 modelseal verify --manifest silero-vad/signed_manifest.json --key keys/public.pem \
	--model-dir silero-vad
rm silero-vad/modeling_evil.py

say 'As signed again'
step 0 modelseal verify --manifest silero-vad/signed_manifest.json --key keys/public.pem \
	--model-dir silero-vad --quiet
echo 'demo: all steps as expected'
