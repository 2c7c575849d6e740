# shellcheck shell=bash
# Runs the image alone, with the embedded backend; a part of tests/deploy/containers.

# What the image says of itself.
describes_itself() {
    local version
    version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
    same user "$(field .Config.User)" 65532:65532
    same entrypoint "$(field .Config.Entrypoint)" '[/usr/local/bin/storekeeper]'
    same command "$(field .Config.Cmd)" '[serve]'
    same volumes "$(field .Config.Volumes)" 'map[/var/lib/storekeeper:{}]'
    same ports "$(field .Config.ExposedPorts)" 'map[8080/tcp:{} 8081/tcp:{} 8082/tcp:{}]'
    same version "$(field '(index .Labels "org.opencontainers.image.version")')" "$version"
    [[ $(field '(index .Labels "org.opencontainers.image.revision")') =~ ^[0-9a-f]{40}$ ]] ||
        fail 'the image does not say what it was built from'
    [[ $(field .HealthCheck) == *http://127.0.0.1:8082* ]] || fail 'the image has no HEALTHCHECK'
    same 'what --version says' "$(podman run --rm --network=none "$IMAGE" --version)" \
        "storekeeper $version"
}

HARDENED=(--read-only --read-only-tmpfs=false --cap-drop=ALL --security-opt=no-new-privileges
    --memory=256m --pids-limit=256)

start_alone() {
    podman run --detach --name "$container" --network=host "${HARDENED[@]}" \
        -v "$volume:/var/lib/storekeeper" -v "$directory/secret:/run/secrets/duda_secrets:ro" \
        -e STOREKEEPER__INGRESS__SECRETS_FILE=/run/secrets/duda_secrets "$IMAGE" >/dev/null
    eventually 30 podman healthcheck run "$container"
}

# Docker's way to stop, and the exit code that it leads to.
stop_alone() {
    podman stop --time 30 "$container" >/dev/null
    same 'the exit code after SIGTERM' \
        "$(podman inspect "$container" --format '{{.State.ExitCode}}')" 0
    podman rm "$container" >/dev/null
}

# A line of /proc/PID/status of the process in the container, as seen from outside.
status_of() {
    local pid
    pid=$(podman inspect "$container" --format '{{.State.Pid}}')
    awk -v "name=$1:" '$1 == name { print $2 }' "/proc/$pid/status"
}

# Invents orders, posts them signed, and compares the stock with the model.
simulate() {
    podman run --rm --no-healthcheck --network=host "${HARDENED[@]}" -e STOREKEEPER_SIMULATE_SECRET \
        -e STOREKEEPER_SIMULATE_TOKEN "$IMAGE" simulate --url http://127.0.0.1:8080 \
        --console http://127.0.0.1:8081 --check "$@"
}

status_code() { curl --silent --output /dev/null --write-out '%{http_code}' "$@"; }

refuses_strangers() {
    same 'the answer to an unsigned webhook' \
        "$(status_code --data '{}' http://127.0.0.1:8080/webhooks/duda)" 401
}

alone() {
    local container=storekeeper-alone volume=storekeeper-alone refusal before
    describes_itself
    say 'one container, embedded'
    podman rm --force --ignore "$container" >/dev/null
    podman volume rm --force "$volume" >/dev/null 2>&1 || true
    refusal=$(ends_with 2 podman run --rm --network=host "${HARDENED[@]}" "$IMAGE")
    [[ $refusal == *'is open to others'* ]] || fail "it does not ask for a secret, but: $refusal"
    export STOREKEEPER_SIMULATE_SECRET
    STOREKEEPER_SIMULATE_SECRET=$(head -c 32 /dev/urandom | base64 -w 0)
    unset STOREKEEPER_SIMULATE_TOKEN
    rm -f "$directory/secret"
    printf '%s' "$STOREKEEPER_SIMULATE_SECRET" >"$directory/secret"
    chmod 0444 "$directory/secret"
    podman volume create "$volume" >/dev/null
    start_alone
    same 'its user' "$(status_of Uid)" 65532
    same 'its capabilities' "$(status_of CapPrm)$(status_of CapBnd)" "$(printf '%032d' 0)"
    same 'NoNewPrivs' "$(status_of NoNewPrivs)" 1
    ends_with 1 podman exec "$container" touch /tmp/x /usr/local/bin/x /etc/storekeeper/x >/dev/null
    ends_with 0 simulate --orders 2000 | tail -n 1
    refuses_strangers
    say "resident memory: at most $(($(status_of VmHWM) / 1024)) MiB"
    before=$(podman exec "$container" storekeeper stock export | sha256sum)
    stop_alone
    start_alone
    same 'the stock after a restart' \
        "$(podman exec "$container" storekeeper stock export | sha256sum)" "$before"
    ends_with 0 podman exec "$container" storekeeper audit
    stop_alone
    podman volume rm "$volume" >/dev/null
}
