/** The local machine's emulator for cloud-init, and what it takes user data for: the same as cloud-init itself. */
import { execa } from 'execa'
import { beforeAll, expect, test } from 'vitest'
import { multipart } from '../../infra/multipart.ts'
import { devEnvironment } from '../support/dev-environment.ts'
import { cloudImage } from './cloud-machine.ts'

const inContainer = async (image: string, command: readonly string[], input: string): Promise<string> => {
  const [program = '', ...argv] = command
  const options = ['--rm', '--interactive', '--network', 'none', '--entrypoint', program]
  return (await execa('docker', ['run', ...options, image, ...argv], { input })).stdout
}

const script = '#!/bin/sh\necho "script of $INSTANCE_ID"\n'
const documents: Readonly<Record<string, string>> = {
  'a script alone': script,
  'a cloud-config alone': '#cloud-config\n{}\n',
  'words that are nothing': 'hello\n',
  'parts of each kind, one that is nothing, and one that says too little of itself': multipart([
    { type: 'text/cloud-boothook', text: '#cloud-boothook\n#!/bin/sh\necho hook\n' },
    { type: 'text/x-nonsense', text: 'what is this\n' },
    { type: 'text/cloud-config', text: '#cloud-config\n{"packages": []}\n' },
    { type: 'text/plain', text: '#!/bin/sh\necho plain; false\n' },
    { type: 'text/x-shellscript', text: script },
  ]),
  'lines that end as in a mail': multipart([{ type: 'text/x-shellscript', text: script }]).replaceAll(
    '\n',
    '\r\n',
  ),
}

/** Prints what `parts` gives of stdin: kinds and texts. */
const print = `
import json
import sys
print(json.dumps([[kind, content.decode().replace(chr(13), '')] for kind, content in parts(sys.stdin.buffer.read())]))`

const emulator = `
from importlib.machinery import SourceFileLoader
parts = SourceFileLoader('user_data', '/usr/local/sbin/user-data').load_module().parts${print}`

const cloudInit = `
from cloudinit import helpers, user_data, util
def parts(blob):
    whole = user_data.UserDataProcessor(helpers.Paths({'cloud_dir': '/tmp/cloud'})).process(blob)
    leaves = [part for part in whole.walk() if part.get_content_maintype() != 'multipart']
    payloads = [(part.get_content_type(), util.fully_decoded_payload(part)) for part in leaves]
    return [(kind, each if isinstance(each, bytes) else each.encode()) for kind, each in payloads]
${print}`

let cloud: string | undefined

beforeAll(async () => {
  cloud = await cloudImage().catch((error: Error) => {
    console.warn(`no image with cloud-init can be built: ${error.message}`)
    return undefined
  })
})

test.each(Object.keys(documents))('%s: it is taken apart as cloud-init does it', async (name) => {
  const document = documents[name] as string
  const found = JSON.parse(
    await inContainer(devEnvironment.images.machine, ['python3', '-c', emulator], document),
  )
  expect(found.length).toBeGreaterThan(0)
  if (!cloud) return
  expect(found).toEqual(JSON.parse(await inContainer(cloud, ['python3', '-c', cloudInit], document)))
})

test('what is of no known kind is passed over with a warning, and so is a script that fails', async () => {
  const stages =
    'cat > /var/lib/machine/user-data; for stage in boothooks config scripts; do user-data $stage; done 2>&1'
  const document = documents[Object.keys(documents)[3] as string] as string
  const said = await inContainer(devEnvironment.images.machine, ['bash', '-c', stages], document)
  expect(said.split('\n')).toEqual([
    'hook',
    "user-data: Unhandled unknown content-type (text/x-nonsense) userdata: 'what is this...'",
    'user-data: packages: the local machine does nothing about it',
    'plain',
    expect.stringMatching(/^user-data: Failed to run scripts-004: .*exit status 1/),
    expect.stringMatching(/^script of [0-9a-f]{12}$/),
  ])
})
