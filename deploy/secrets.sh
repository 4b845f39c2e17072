#!/bin/sh
# Writes the secrets that docker-compose.yml takes, at random, into a folder (./secrets).
# What is there stays as it is, so that running it again changes nothing.
#
#   S3_BUCKET   the bucket, if it is not regioncap
#   S3_PREFIX   the folder of a shared bucket, such as team/captions: the users get no further
set -eu
umask 077
rights=$(cd "$(dirname "$0")/security" && pwd)
folder=${1:-secrets}
mkdir -p "$folder"
cd "$folder"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

# The folder is closed to others; its files are not, since a container's user reads them.
keep() {
  [ -s "$1" ] && return
  cat > "$1"
  chmod 0644 "$1"
}

for role in admin worker producer reader; do
  printf '%s' "regioncap-$role" | keep "${role}_s3_access_key"
  random | keep "${role}_s3_secret_key"
done
for role in worker producer; do
  printf 'redis://%s:%s@redis:6379/0' "$role" "$(random)" | keep "${role}_broker_url"
done

random | keep grafana_admin_password
random | keep page_token

password() { sed 's|^redis://[^:]*:\([^@]*\)@.*|\1|' "$1_broker_url"; }
bucket=${S3_BUCKET:-regioncap}
below=${S3_PREFIX:+$S3_PREFIX/}
# Who may list a bucket sees all names in it, unless a condition says which.
condition=${S3_PREFIX:+'"Condition": {"StringLike": {"s3:prefix": ["'$below'*"]}},'}
for role in worker producer reader; do
  sed -e "s|:::regioncap/|:::$bucket/$below|" -e "s|:::regioncap\"|:::$bucket\"|" \
    -e "s|\(\"Sid\": \"Look\",\)|\1 $condition|" -e 's| *$||' "$rights/s3/$role.json" |
    keep "store_policy_$role"
done
# A policy as a JSON string.
policy() { tr -d '\n' < "store_policy_$1" | sed 's/"/\\"/g'; }
secret() { cat "$1_s3_secret_key"; }

keep redis_acl <<ACL
user default off
user health on nopass resetkeys resetchannels -@all +ping
user worker on >$(password worker) $(cat "$rights/redis/worker.acl")
user producer on >$(password producer) $(cat "$rights/redis/producer.acl")
ACL

keep store_identities <<IDENTITIES
{
  "identities": [
    {
      "name": "admin",
      "credentials": [{"accessKey": "regioncap-admin", "secretKey": "$(secret admin)"}],
      "actions": ["Admin", "Read", "Write", "List", "Tagging"]
    },
    {
      "name": "worker",
      "credentials": [{"accessKey": "regioncap-worker", "secretKey": "$(secret worker)"}],
      "policyNames": ["worker"]
    },
    {
      "name": "producer",
      "credentials": [{"accessKey": "regioncap-producer", "secretKey": "$(secret producer)"}],
      "policyNames": ["producer"]
    },
    {
      "name": "reader",
      "credentials": [{"accessKey": "regioncap-reader", "secretKey": "$(secret reader)"}],
      "policyNames": ["reader"]
    }
  ],
  "policies": [
    {"name": "worker", "content": "$(policy worker)"},
    {"name": "producer", "content": "$(policy producer)"},
    {"name": "reader", "content": "$(policy reader)"}
  ]
}
IDENTITIES
