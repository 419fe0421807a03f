/**
 * A machine's first boot, as EC2's user data: pure text, so that it can be read and tested without a machine. It is
 * for cloud-init on Ubuntu 22.04 with AWS's driver image; images/machine/user-data does the same on the local machine.
 * Three parts, each as early as cloud-init can have it:
 *
 *   boothook      the switch-off, at every boot, before any other part and before sshd
 *   cloud-config  the pinned host key, the only one: sshd answers with no other from its start
 *   script        all else, once, at the end of the boot
 *
 * Money first: before anything that could fail, the machine gets its switch-off time. It counts from its own
 * start, since an order may wait long for a machine, and that time is not paid for. A loop outside of any login
 * session powers it off at the deadline in /var/lib/bellows/deadline (seconds since 1970), which the worker
 * moves over SSH, and at the first one whatever that file says. The limit holds on two clocks, since a wall
 * clock can be set back. A reboot starts the loop again and moves no deadline.
 *
 * The worker knows that the boot is over by /var/lib/bellows/ready; /var/lib/bellows/failed says why it
 * never will be, and so does the console, which is all that can be read where SSH never answers. Nothing
 * secret is printed, therefore.
 * https://docs.cloud-init.io/en/latest/explanation/format.html
 */
import { multipart } from './multipart.ts'

export type FirstBoot = {
  /** Ed25519, OpenSSH's private key format: the key that the worker pins. The only secret. */
  readonly hostPrivateKey: string
  /** OpenSSH's one-line form: who may log in as `loginUser`. */
  readonly authorizedKey: string
  /** Whom the worker logs in as; the machine image has that user, who may become root. Default `ubuntu`. */
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

export function firstBootUserData(boot: FirstBoot): string {
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
  if (!/^[a-z_][a-z0-9_-]{0,31}$/.test(user))
    throw new Error(`No such login user can be: ${JSON.stringify(user)}`)
  const lifetimeSeconds = Math.floor(boot.lifetimeSeconds)
  if (!(lifetimeSeconds > 0)) throw new Error(`No machine can live ${boot.lifetimeSeconds} s`)
  const hardDeadline = epochSeconds(boot.hardDeadline)

  const script = [
    head,
    deadlineStands,
    sshAccess(user, authorizedKey),
    noUpgrades,
    noMetadataForContainers,
    jobFolders(user),
    "echo 'bellows: the first boot is done'",
    'touch /var/lib/bellows/ready',
  ].join('\n')
  const userData = multipart([
    { type: 'text/cloud-boothook', text: [head, deadlineWatch(lifetimeSeconds, hardDeadline)].join('\n') },
    { type: 'text/cloud-config', text: `#cloud-config\n${JSON.stringify(hostKey(privateKey))}\n` },
    { type: 'text/x-shellscript', text: `${script}\n` },
  ])
  const bytes = Buffer.byteLength(userData)
  if (bytes > userDataLimitBytes) throw new Error(`The user data has ${bytes} bytes; EC2 takes 16384`)
  return userData
}

function epochSeconds(date: Date): number {
  const seconds = Math.floor(date.getTime() / 1000)
  if (!Number.isFinite(seconds)) throw new Error('A deadline is no date')
  return seconds
}

/** YAML has JSON in it. Where keys are given, cloud-init makes none, and the image's own go. */
const hostKey = (privateKey: string) => ({
  ssh_deletekeys: true,
  ssh_keys: { ed25519_private: `${privateKey}\n` },
})

const head = `#!/bin/bash
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p /var/lib/bellows
trap 'echo "first boot: line $LINENO: $BASH_COMMAND" | tee /var/lib/bellows/failed' ERR
systemd() { [ -d /run/systemd/system ]; }
`

/** Written whole or not at all: a boot that is cut off in between begins afresh, a later one finds it and changes nothing. */
const deadlineWatch = (
  lifetime: number,
  hardDeadline: number,
) => `# Switches the machine off in time, which counts from the start of its first process: a container shares its uptime.
watch=/usr/local/sbin/bellows-deadline
if [ ! -e $watch ]; then
  echo 'bellows: the first boot begins'
  read -r up _ < /proc/uptime
  first=$(< /proc/1/stat)
  read -r -a first <<< "\${first##*) }"
  age=$(( \${up%.*} - first[19] / $(getconf CLK_TCK || echo 100) ))
  hard_deadline=$(( $(date +%s) - age + ${lifetime} ))
  (( hard_deadline < ${hardDeadline} )) || hard_deadline=${hardDeadline}
  echo $hard_deadline > /var/lib/bellows/deadline
  printf '#!/bin/bash\\nhard_deadline=%s\\n' $hard_deadline > $watch.part
  cat >> $watch.part << 'BELLOWS'
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
  chmod 755 $watch.part
  mv $watch.part $watch
fi
if systemd; then
  # It waits for nothing: the boot that this is a part of has not come to what services wait for.
  cat > /etc/systemd/system/bellows-deadline.service << 'BELLOWS'
[Unit]
Description=Switches the machine off at its deadline
DefaultDependencies=no
Conflicts=shutdown.target
Before=shutdown.target
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
  pgrep -f "^/bin/bash $watch" > /dev/null || setsid --fork $watch > /dev/null 2>&1 < /dev/null
fi
`

const deadlineStands = `# Nothing is begun without a switch-off.
if [ -e /var/lib/bellows/failed ]; then cat /var/lib/bellows/failed; exit 1; fi
[ -x /usr/local/sbin/bellows-deadline ]
`

const sshAccess = (
  user: string,
  authorizedKey: string,
) => `# One key that may log in, and the pinned one that answers.
home=$(getent passwd ${user} | cut -d: -f6)
group=$(id -g ${user})
install -d -m 700 -o ${user} -g "$group" "$home/.ssh"
echo '${authorizedKey}' > "$home/.ssh/authorized_keys"
chown "${user}:$group" "$home/.ssh/authorized_keys"
chmod 600 "$home/.ssh/authorized_keys"
cat > /etc/ssh/sshd_config.d/00-bellows.conf << 'BELLOWS'
HostKey /etc/ssh/ssh_host_ed25519_key
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
if systemd; then systemctl restart ssh 2> /dev/null || systemctl restart sshd; else kill -HUP "$(cat /run/sshd.pid)"; fi
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
) => `# Trainers run as ${trainerId}, no user of the machine and not the login user, who may become root.
nobody_is() { ! getent passwd "$1" > /dev/null; }
nobody_is ${trainerId}
# What the trainer writes to must be open to it.
install -d -m 755 -o ${user} -g "$group" /job /job/dataset /job/base
install -d -m 777 -o ${user} -g "$group" /job/out /job/checkpoint /job/cache
`
