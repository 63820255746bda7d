#!/usr/bin/env bash
# Is the bot in this container well? Asks its own health page, without curl: the image has none.
set -euo pipefail

address=${AI_FRIEND_WEB_LISTEN:-127.0.0.1:9090}
host=${address%:*}
host=${host#"["} # an IPv6 address stands in brackets, as in [::]:9090
exec 3<>"/dev/tcp/${host%"]"}/${address##*:}"
printf 'GET /health HTTP/1.0\r\nHost: health\r\n\r\n' >&3
read -r _ status _ <&3
[[ $status == 200 ]]
