# shellcheck shell=bash
# Runs deploy/compose.yaml; a part of tests/deploy/containers.

stack_images() {
    packages_image "$(image_of library/rabbitmq)" rabbitmq-server <<'DOCKERFILE'
RUN rabbitmq-plugins enable --offline rabbitmq_management rabbitmq_prometheus \
    && chmod 1777 /var/log/rabbitmq
# Before the scripts that change the user.
ENV PATH=/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/var/lib/rabbitmq LANG=C.UTF-8
VOLUME /var/lib/rabbitmq
CMD ["rabbitmq-server"]
DOCKERFILE
    packages_image "$(image_of library/redis)" redis-server <<'DOCKERFILE'
RUN install -d -o redis -g redis /data
VOLUME /data
WORKDIR /data
DOCKERFILE
    packages_image "$(image_of prom/prometheus)" prometheus <<'DOCKERFILE'
RUN install -d -o nobody -g nogroup /prometheus
USER nobody
VOLUME /prometheus
WORKDIR /prometheus
ENTRYPOINT ["/bin/prometheus"]
DOCKERFILE
}

# What systemd's timers do elsewhere.
check_health() {
    local container
    while sleep 1; do
        for container in $(podman ps --quiet); do
            podman healthcheck run "$container" >/dev/null 2>&1 || true
        done
    done
}

of_project=label=com.docker.compose.project=storekeeper
SERVICES=(rabbitmq redis ingress worker leader console prometheus)

docker_compose() {
    DOCKER_HOST="unix://$socket" "$tools/docker-compose" -f "$project/deploy/compose.yaml" "$@"
}

up() {
    local started=$SECONDS
    docker_compose up --detach --wait --no-build --quiet-pull "${SERVICES[@]}" \
        >"$directory/compose.log" 2>&1 || fail "compose up failed:
$(tail -n 20 "$directory/compose.log"; podman ps --all)"
    say "all healthy after $((SECONDS - started)) s"
}

# The addresses of a service's containers.
addresses_of() {
    local container
    for container in $(podman ps --filter "$of_project" --quiet \
        --filter "label=com.docker.compose.service=$1"); do
        podman inspect "$container" \
            --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'
    done
}

# How many events each worker has settled.
settled() {
    local address
    for address in $(addresses_of worker); do
        curl --silent --fail "http://$address:8082/metrics" |
            awk '/^storekeeper_events_settled_total/ { sum += $NF } END { print sum + 0 }'
    done
}

stock() {
    docker_compose exec -T console storekeeper stock export
}

compose() {
    local refusal services before count
    project=$directory/project
    socket=$(mktemp -d)/podman.sock
    need_tool docker-compose
    say 'compose, without Grafana'
    # A copy: secrets of a stack that runs from here stay as they are.
    rm -rf "$project"
    mkdir "$project"
    cp -R deploy "$project/deploy"
    rm -rf "$project/deploy/secrets" "$project/deploy/.env"
    refusal=$(ends_with 1 docker_compose config --quiet)
    [[ $refusal == *'run deploy/compose-secrets first'* ]] ||
        fail "compose does not say how to make the secrets, but: $refusal"
    "$project/deploy/compose-secrets" >/dev/null
    export STOREKEEPER_SIMULATE_SECRET STOREKEEPER_SIMULATE_TOKEN
    STOREKEEPER_SIMULATE_SECRET=$(<"$project/deploy/secrets/duda_secrets")
    STOREKEEPER_SIMULATE_TOKEN=$(sed -n 's/^read://p' "$project/deploy/secrets/console_tokens")

    # Not the function: it is the process that has to end.
    command podman --log-level=fatal system service --time=0 "unix://$socket" \
        >"$directory/service.log" 2>&1 &
    helpers+=("$!")
    eventually 10 test -S "$socket"
    check_health &
    helpers+=("$!")
    tear_down=(docker_compose down --volumes)
    "${tear_down[@]}" >/dev/null 2>&1
    up

    refuses_strangers
    same 'the answer without a token' "$(status_code http://127.0.0.1:8081/v1/sites)" 401
    ends_with 0 simulate --orders 2000 --seed 1 | tail -n 1
    for count in $(settled); do [ "$count" -gt 0 ] || fail 'a worker had nothing to do'; done
    say 'the same while workers are replaced'
    docker_compose restart worker >/dev/null 2>&1 &
    services=$!
    ends_with 0 simulate --orders 2000 --seed 2 | tail -n 1
    wait "$services" || fail 'the workers were not replaced'
    ends_with 0 docker_compose run --rm -T -e STOREKEEPER_SIMULATE_SECRET \
        -e STOREKEEPER_SIMULATE_TOKEN console simulate --url http://ingress:8080 \
        --console http://console:8081 --check --orders 100 --seed 3 | tail -n 1
    ends_with 0 docker_compose exec -T console storekeeper audit
    eventually 60 all_targets_are_up
    podman stats --no-stream --format '{{.Name}} {{.MemUsage}}' >&2
    before=$(stock | sha256sum)
    docker_compose down >/dev/null 2>&1
    up
    same 'the stock after down and up' "$(stock | sha256sum)" "$before"
    docker_compose up --detach --wait --no-build --scale worker=3 worker \
        >>"$directory/compose.log" 2>&1 || fail "no third worker, see $directory/compose.log"
    same 'the number of workers' "$(addresses_of worker | wc -l)" 3
    "${tear_down[@]}" >/dev/null 2>&1
    tear_down=()
    same 'what is left' "$(podman ps --all --quiet --filter "$of_project"
        podman volume ls --quiet --filter "$of_project")" ''
}

all_targets_are_up() {
    local targets
    targets=$(curl --silent --fail http://127.0.0.1:9090/api/v1/targets)
    [[ $targets == *'"health":"up"'* && $targets != *'"health":"down"'* &&
        $targets != *'"health":"unknown"'* ]]
}
