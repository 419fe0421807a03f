/**
 * MongoDB's messages, as far as a proxy between a driver and a server must understand them: OP_MSG, and OP_QUERY with
 * OP_REPLY, which a driver still begins a connection with.
 * https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/
 */
import { BSON } from 'mongodb'

export type Document = BSON.Document

const operation = { reply: 1, query: 2004, message: 2013 } as const

/** Length, its own id, whose answer it is, operation: four int32. */
const headerBytes = 16
const flagBytes = 4
/** Flags, cursor, start and count of an OP_REPLY. */
const replyFieldBytes = 20

export const idOf = (message: Buffer): number => message.readInt32LE(4)
export const answeredBy = (message: Buffer): number => message.readInt32LE(8)
const operationOf = (message: Buffer): number => message.readInt32LE(12)

/** Calls back with whole messages, whatever pieces they come in. */
export function messages(onMessage: (message: Buffer) => void): (piece: Buffer) => void {
  let rest = Buffer.alloc(0)
  return (piece) => {
    rest = Buffer.concat([rest, piece])
    while (rest.length >= headerBytes && rest.length >= rest.readInt32LE(0)) {
      const length = rest.readInt32LE(0)
      const message = rest.subarray(0, length)
      rest = rest.subarray(length)
      onMessage(message)
    }
  }
}

/** The command with its document sequences as arrays; undefined for messages of another kind. */
export function commandOf(message: Buffer): Document | undefined {
  if (operationOf(message) === operation.query) {
    const nameEnd = message.indexOf(0, headerBytes + flagBytes)
    return documentAt(message, nameEnd + 1 + 8)
  }
  if (operationOf(message) !== operation.message) return undefined
  const end = message.length - (message.readUInt32LE(headerBytes) & 1 ? 4 : 0) // a checksum may follow
  let command: Document = {}
  for (let at = headerBytes + flagBytes; at < end; ) {
    const isSequence = message.readUInt8(at) === 1
    const size = message.readInt32LE(at + 1)
    if (isSequence) command = { ...command, ...sequenceAt(message, at + 1) }
    else command = { ...command, ...documentAt(message, at + 1) }
    at += 1 + size
  }
  return command
}

/** The same answer with its document changed. */
export function changed(answer: Buffer, change: (document: Document) => Document): Buffer {
  const isReply = operationOf(answer) === operation.reply
  const start = headerBytes + (isReply ? replyFieldBytes : flagBytes + 1)
  return framed(answer.subarray(0, start), change(documentAt(answer, start)))
}

/** An OP_MSG with this document, as the answer to a message. */
export function answerTo(message: Buffer, document: Document): Buffer {
  const start = Buffer.alloc(headerBytes + flagBytes + 1)
  start.writeInt32LE(idOf(message), 8)
  start.writeInt32LE(operation.message, 12)
  return framed(start, document)
}

function documentAt(message: Buffer, at: number): Document {
  return BSON.deserialize(message.subarray(at, at + message.readInt32LE(at)), { promoteLongs: false })
}

/** Size, name, documents. */
function sequenceAt(message: Buffer, at: number): Document {
  const end = at + message.readInt32LE(at)
  const nameEnd = message.indexOf(0, at + 4)
  const documents: Document[] = []
  for (let next = nameEnd + 1; next < end; next += message.readInt32LE(next)) {
    documents.push(documentAt(message, next))
  }
  return { [message.toString('utf8', at + 4, nameEnd)]: documents }
}

/** Of an answer with a checksum, none is left. */
function framed(start: Buffer, document: Document): Buffer {
  const message = Buffer.concat([start, BSON.serialize(document)])
  message.writeInt32LE(message.length, 0)
  if (operationOf(message) === operation.message) {
    message.writeUInt32LE(message.readUInt32LE(headerBytes) & ~1, headerBytes)
  }
  return message
}
