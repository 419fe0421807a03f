/**
 * A machine's first boot, as the text of one script: pure, so that it can be read and tested without a
 * machine. It runs as root, once, on Ubuntu 22.04 with AWS's driver image, and in the local machine.
 *
 * Money first: before anything that could fail, the machine gets its switch-off time. It counts from its own
 * start, since an order may wait long for a machine, and that time is not paid for. A loop outside of anybody's
 * session powers it off at the deadline in /var/lib/bellows/deadline (seconds since 1970), which the worker
 * moves over SSH, and at the first one whatever that file says. The limit holds on two clocks, since a wall
 * clock can be set back.
 *
 * The worker knows that the boot is over by /var/lib/bellows/ready; /var/lib/bellows/failed says why it
 * never will be, and so does the console, which is all that can be read where SSH never answers. Nothing
 * secret is printed, therefore. Until sshd has been given its pinned host key, it answers with another: the
 * worker refuses that one and tries again.
 */
export type FirstBoot = {
  /** Ed25519, OpenSSH's private key format: the key that the worker pins. The script's only secret. */
  readonly hostPrivateKey: string
  /** OpenSSH's one-line form: who may log in as `loginUser`. */
  readonly authorizedKey: string
  /** Default `ubuntu`. */
  readonly loginUser?: string
  /** So long after its start it switches itself off; the worker may move that forward, not back. */
  readonly lifetimeSeconds: number
  /** Then it does so too, whenever it started. */
  readonly hardDeadline: Date
}

/** As `trainerUser` in src/remote/argv.ts. */
const trainerId = 10001

/** EC2 takes no more. */
const userDataLimitBytes = 16_384

export function firstBootScript(boot: FirstBoot): string {
  const user = boot.loginUser ?? 'ubuntu'
  const privateKey = boot.hostPrivateKey.trim()
  if (
    !/^-----BEGIN OPENSSH PRIVATE KEY-----\n[A-Za-z0-9+/=\n]+\n-----END OPENSSH PRIVATE KEY-----$/.test(
      privateKey,
    )
  )
    throw new Error("The host key is not in OpenSSH's private key format")
  const authorizedKey = boot.authorizedKey.trim()
  if (!/^ssh-[a-z0-9-]+ [A-Za-z0-9+/=]+( [\w@.:-]+)?$/.test(authorizedKey))
    throw new Error('The authorized key is not one line such as `ssh-ed25519 AAAA… name`')
  if (!/^[a-z][a-z0-9-]*$/.test(user)) throw new Error(`No such login user can be: ${JSON.stringify(user)}`)
  const lifetimeSeconds = Math.floor(boot.lifetimeSeconds)
  if (!(lifetimeSeconds > 0)) throw new Error(`No machine can live ${boot.lifetimeSeconds} s`)
  const hardDeadline = epochSeconds(boot.hardDeadline)

  const script = [
    head,
    deadlineWatch(lifetimeSeconds, hardDeadline),
    sshAccess(user, privateKey, authorizedKey),
    noUpgrades,
    noMetadataForContainers,
    jobFolders(user),
    "echo 'bellows: the first boot is done'",
    'touch /var/lib/bellows/ready',
  ].join('\n')
  const bytes = Buffer.byteLength(script)
  if (bytes > userDataLimitBytes) throw new Error(`The first-boot script has ${bytes} bytes; EC2 takes 16384`)
  return `${script}\n`
}

function epochSeconds(date: Date): number {
  const seconds = Math.floor(date.getTime() / 1000)
  if (!Number.isFinite(seconds)) throw new Error('A deadline is no date')
  return seconds
}

const head = `#!/bin/bash
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /var/lib/bellows
trap 'echo "first boot: line $LINENO: $BASH_COMMAND" | tee /var/lib/bellows/failed' ERR
echo 'bellows: the first boot begins'
systemd() { [ -d /run/systemd/system ]; }
`

const deadlineWatch = (
  lifetime: number,
  hardDeadline: number,
) => `# Switches the machine off in time, which counts from the start of its first process: a container shares its uptime.
read -r up _ < /proc/uptime
first=$(< /proc/1/stat)
read -r -a first <<< "\${first##*) }"
age=$(( \${up%.*} - first[19] / $(getconf CLK_TCK || echo 100) ))
hard_deadline=$(( $(date +%s) - age + ${lifetime} ))
(( hard_deadline < ${hardDeadline} )) || hard_deadline=${hardDeadline}
echo $hard_deadline > /var/lib/bellows/deadline
printf '#!/bin/bash\\nhard_deadline=%s\\n' $hard_deadline > /usr/local/sbin/bellows-deadline
cat >> /usr/local/sbin/bellows-deadline << 'BELLOWS'
read -r up _ < /proc/uptime
last_uptime=$(( \${up%.*} + hard_deadline - $(date +%s) ))
# A restart of this loop starts no second span: the first one is kept, for the boot that it belongs to.
kept=/run/bellows-last-uptime
if [ -f $kept ]; then read -r last_uptime < $kept; else echo $last_uptime > $kept; fi
while :; do
  read -r deadline < /var/lib/bellows/deadline
  [[ $deadline =~ ^[0-9]{1,12}$ ]] && (( deadline < hard_deadline )) || deadline=$hard_deadline
  read -r up _ < /proc/uptime
  if (( $(date +%s) >= deadline || \${up%.*} >= last_uptime )); then
    shutdown -h now || poweroff -f
  fi
  sleep 1
done
BELLOWS
chmod 755 /usr/local/sbin/bellows-deadline
if systemd; then
  cat > /etc/systemd/system/bellows-deadline.service << 'BELLOWS'
[Unit]
Description=Switches the machine off at its deadline
[Service]
ExecStart=/usr/local/sbin/bellows-deadline
Restart=always
RestartSec=1
OOMScoreAdjust=-1000
[Install]
WantedBy=multi-user.target
BELLOWS
  systemctl daemon-reload
  systemctl enable --now bellows-deadline.service
else
  setsid --fork /usr/local/sbin/bellows-deadline > /dev/null 2>&1 < /dev/null
fi
`

const sshAccess = (
  user: string,
  privateKey: string,
  authorizedKey: string,
) => `# The pinned host key, and one key that may log in.
(umask 077 && cat > /etc/ssh/bellows_host_key) << 'BELLOWS'
${privateKey}
BELLOWS
home=$(getent passwd ${user} | cut -d: -f6)
install -d -m 700 -o ${user} -g ${user} "$home/.ssh"
echo '${authorizedKey}' > "$home/.ssh/authorized_keys"
chown ${user}:${user} "$home/.ssh/authorized_keys"
chmod 600 "$home/.ssh/authorized_keys"
cat > /etc/ssh/sshd_config.d/00-bellows.conf << 'BELLOWS'
HostKey /etc/ssh/bellows_host_key
AllowUsers ${user}
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin no
X11Forwarding no
AllowTcpForwarding no
AllowAgentForwarding no
MaxSessions 64
ClientAliveInterval 15
ClientAliveCountMax 8
BELLOWS
if systemd; then systemctl restart ssh; else kill -HUP "$(cat /run/sshd.pid)"; fi
`

const noUpgrades = `# An upgrade of the driver under a running training breaks it.
mkdir -p /etc/apt/apt.conf.d
cat > /etc/apt/apt.conf.d/99-bellows << 'BELLOWS'
APT::Periodic::Update-Package-Lists "0";
APT::Periodic::Unattended-Upgrade "0";
BELLOWS
if systemd; then
  for unit in unattended-upgrades.service apt-daily.timer apt-daily-upgrade.timer; do
    systemctl disable --now "$unit" > /dev/null 2>&1 || true
  done
fi
`

const noMetadataForContainers = `# Containers don't reach the metadata address; Docker keeps what it finds in this chain.
if command -v iptables > /dev/null; then
  iptables --wait -N DOCKER-USER 2> /dev/null || true
  iptables --wait -C FORWARD -j DOCKER-USER 2> /dev/null || iptables --wait -I FORWARD -j DOCKER-USER
  iptables --wait -I DOCKER-USER -d 169.254.169.254 -j DROP
fi
`

const jobFolders = (
  user: string,
) => `# Trainers run as ${trainerId}, who is nobody here, least of all the login user: that one may become root.
nobody_is() { ! getent passwd "$1" > /dev/null; }
nobody_is ${trainerId}
# What the trainer writes to must be open to it.
install -d -m 755 -o ${user} -g ${user} /job /job/dataset /job/base
install -d -m 777 -o ${user} -g ${user} /job/out /job/checkpoint /job/cache
`
