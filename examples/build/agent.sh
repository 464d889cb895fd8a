#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# An agent: nothing but a POSIX shell, curl and tar. It gets a container image built on the host, though nothing in its sandbox
# could build one, and shows what it cannot do. Every step stops the script when it does not go as it should.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

step() {
	printf '\n==> %s\n' "$*"
}
die() {
	printf 'agent: %s\n' "$*" >&2
	exit 1
}
# curl as this agent uses it: quiet but for errors; the token is a placeholder that never leaves the sandbox as such. (Expect:
# curl would wait a second for an interim answer before each larger upload.)
api() {
	curl -sS -H "Authorization: Bearer $API_TOKEN" -H 'Expect:' "$@"
}

step "1. Learn the API from the server itself: GET $API_URL/"
curl -sS --fail "$API_URL/" >"$work/page"
head -n 12 "$work/page"
echo "   (... $(wc -l <"$work/page") lines)"

step "2. No real token in here, and no way out but the proxy"
echo "API_TOKEN=$API_TOKEN"
case $API_TOKEN in
openshell:resolve:env:*) ;;
*) die "the environment holds something else than a placeholder" ;;
esac
for url in "$API_URL/" http://10.200.0.1:9090/ http://1.1.1.1/; do
	if curl -sS --noproxy '*' --max-time 5 "$url" 2>"$work/refusal"; then die "$url was reached directly"; fi
	echo "$url directly: $(cat "$work/refusal")"
done

step "3. Send the build context: POST /build"
tar -C context -cf - . | api -D "$work/head" -o "$work/job.json" -X POST -H 'Prefer: wait=0' -H 'Content-Type: application/x-tar' \
	--data-binary @- "$API_URL/build?tag=hello:1&output=/hello"
status=$(sed -n '1s/^[^ ]* \([0-9]*\).*/\1/p' "$work/head")
job=$(sed -n 's/^[Ll]ocation: *\([^[:space:]]*\).*/\1/p' "$work/head")
echo "answer: $status, job: $job"
[ "$status" = 202 ] || die "expected 202: $(cat "$work/job.json")"

step "4. Follow its log while it is built: GET $job/log?follow=1"
api --fail "$API_URL$job/log?follow=1" | sed 's/^/   | /'

step "5. Wait for its end: GET $job?wait=60"
api --fail "$API_URL$job?wait=60" >"$work/job.json"
state=$(sed -n 's/.*"state" *: *"\([a-z_]*\)".*/\1/p' "$work/job.json" | head -n 1)
echo "state: $state"
[ "$state" = succeeded ] || die "the build did not succeed: $(cat "$work/job.json")"

step "6. What was built"
digest=$(tr ',' '\n' <"$work/job.json" | sed -n 's/.*"digest" *: *"\(sha256:[0-9a-f]*\)".*/\1/p' | head -n 1)
echo "digest: $digest"
[ -n "$digest" ] || die "no digest in $(cat "$work/job.json")"

step "7. Fetch the image, and the one file of it that was asked for"
api --fail -o image.tar "$API_URL$job/artifacts/image.tar"
tar -tf image.tar >"$work/list"
echo "image.tar: $(wc -c <image.tar) bytes, $(grep -c blobs/sha256/. "$work/list") blobs, $(grep index.json "$work/list")"
api --fail -o hello "$API_URL$job/artifacts/hello"
chmod +x hello
echo "hello: $(wc -c <hello) bytes; it says: $(./hello)"

step "8. What is refused: by the proxy what the policy does not list, by the server what carries no token"
status=$(api -o "$work/answer" -w '%{http_code}' -X DELETE "$API_URL$job")
echo "DELETE $job: $status from the proxy: $(cat "$work/answer")"
[ "$status" = 403 ] || die "expected 403"
status=$(curl -sS -o "$work/answer" -w '%{http_code}' "$API_URL$job")
echo "GET $job without a token: $status from the server: $(cat "$work/answer")"
[ "$status" = 401 ] || die "expected 401"

step "The agent is done"
