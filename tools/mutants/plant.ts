/**
 * The faults that can be planted in a file, each one small: what a tired programmer gets wrong. Only what runs is
 * touched: no types, no log lines, no texts.
 */
import ts from 'typescript'

export type Mutant = {
  /** Where the original stands in the file: [start, end). */
  readonly start: number
  readonly end: number
  readonly line: number
  readonly what: string
  readonly original: string
  readonly mutant: string
  /** A statement is switched by an `if`, an expression by `? :`. */
  readonly isStatement: boolean
}

const swaps: ReadonlyMap<string, readonly (readonly [what: string, operator: string])[]> = new Map([
  [
    '<',
    [
      ['boundary', '<='],
      ['negation', '>='],
    ],
  ],
  [
    '<=',
    [
      ['boundary', '<'],
      ['negation', '>'],
    ],
  ],
  [
    '>',
    [
      ['boundary', '>='],
      ['negation', '<='],
    ],
  ],
  [
    '>=',
    [
      ['boundary', '>'],
      ['negation', '<'],
    ],
  ],
  ['===', [['negation', '!==']]],
  ['!==', [['negation', '===']]],
  ['&&', [['and/or', '||']]],
  ['||', [['and/or', '&&']]],
  ['+', [['arithmetic', '-']]],
  ['-', [['arithmetic', '+']]],
  ['*', [['arithmetic', '/']]],
  ['/', [['arithmetic', '*']]],
  ['%', [['arithmetic', '*']]],
])

const extremes: ReadonlyMap<string, string> = new Map([
  ['Math.min', 'Math.max'],
  ['Math.max', 'Math.min'],
  ['Math.floor', 'Math.ceil'],
  ['Math.ceil', 'Math.floor'],
])

/** A count is one off; a limit or a time is not a second longer, but ten times as long. */
const leastLarge = 10

/** What a list is without one of these calls is still a list. */
const leftOut = ['filter', 'sort', 'toSorted', 'slice', 'reverse', 'toReversed']

export function plant(fileName: string, text: string): readonly Mutant[] {
  const source = ts.createSourceFile(fileName, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TS)
  const found: Mutant[] = []

  function add(node: ts.Node, what: string, mutant: string, isStatement = false): void {
    const start = node.getStart(source)
    const line = source.getLineAndCharacterOfPosition(start).line + 1
    found.push({ start, end: node.end, line, what, original: node.getText(source), mutant, isStatement })
  }

  function visit(node: ts.Node): void {
    if (neverRuns(node) || isLogLine(node) || isMessage(node)) return
    if (ts.isBinaryExpression(node)) plantOperator(node)
    else if (ts.isCallExpression(node)) plantCall(node)
    else if (ts.isIfStatement(node)) plantCondition(node.expression)
    else if (ts.isConditionalExpression(node)) plantCondition(node.condition)
    else if (ts.isNumericLiteral(node)) plantNumber(node)
    else if (ts.isArrayLiteralExpression(node)) plantList(node)
    else if (ts.isExpressionStatement(node)) plantRemoval(node)
    else if (ts.isReturnStatement(node)) plantReturn(node)
    else if (ts.isPrefixUnaryExpression(node) && node.operator === ts.SyntaxKind.ExclamationToken) {
      add(node, 'negation', node.operand.getText(source))
    } else if (node.kind === ts.SyntaxKind.TrueKeyword) add(node, 'true/false', 'false')
    else if (node.kind === ts.SyntaxKind.FalseKeyword) add(node, 'true/false', 'true')
    ts.forEachChild(node, visit)
  }

  function plantOperator(node: ts.BinaryExpression): void {
    const [left, operator, right] = [node.left, node.operatorToken, node.right].map((part) =>
      part.getText(source),
    )
    if (operator === '??') add(node, 'no default', `${left}`)
    // A sum with a text in it joins texts.
    if (operator === '+' && [node.left, node.right].some(isText)) return
    for (const [what, other] of swaps.get(`${operator}`) ?? []) add(node, what, `${left} ${other} ${right}`)
  }

  function plantCall(node: ts.CallExpression): void {
    const callee = node.expression.getText(source)
    const other = extremes.get(callee)
    if (other) add(node, 'rounding or extreme', other + node.getText(source).slice(callee.length))
    // In `a?.b.filter(c).d` nothing after `?.` can stand alone.
    const isChained = (node.flags & ts.NodeFlags.OptionalChain) !== 0
    if (isChained || !ts.isPropertyAccessExpression(node.expression)) return
    const { name, expression } = node.expression
    if (leftOut.includes(name.text)) add(node, `no ${name.text}`, expression.getText(source))
  }

  function plantCondition(condition: ts.Expression): void {
    add(condition, 'condition', 'true')
    add(condition, 'condition', 'false')
  }

  function plantNumber(node: ts.NumericLiteral): void {
    if (ts.isPropertyAssignment(node.parent) && node.parent.name === node) return
    const value = Number(node.text)
    add(node, 'number', `${value < leastLarge ? value + 1 : value * 10}`)
    if (value !== 0) add(node, 'number', '0')
  }

  function plantList(node: ts.ArrayLiteralExpression): void {
    const isTarget = ts.isBinaryExpression(node.parent) && node.parent.left === node
    if (isTarget || node.elements.length === 0) return
    const elements = node.elements.map((element) => element.getText(source))
    add(node, 'no first element', `[${elements.slice(1).join(', ')}]`)
    if (elements.length > 1) add(node, 'no last element', `[${elements.slice(0, -1).join(', ')}]`)
  }

  function plantRemoval(node: ts.ExpressionStatement): void {
    const { expression } = node
    if (ts.isStringLiteral(expression) || isName(expression)) return
    const isCall = ts.isCallExpression(ts.isAwaitExpression(expression) ? expression.expression : expression)
    add(node, isCall ? 'no call' : 'no statement', '', true)
  }

  /** A lone return below an `if` goes with its condition; the last statement of a function is not early. */
  function plantReturn(node: ts.ReturnStatement): void {
    const { parent } = node
    const isEarly = ts.isBlock(parent) && ts.isIfStatement(parent.parent) && parent.statements.length > 1
    if (isEarly) add(node, 'no return', '', true)
  }

  visit(source)
  return found
}

function neverRuns(node: ts.Node): boolean {
  return (
    ts.isTypeNode(node) ||
    ts.isTypeAliasDeclaration(node) ||
    ts.isInterfaceDeclaration(node) ||
    ts.isImportDeclaration(node)
  )
}

function isLogLine(node: ts.Node): boolean {
  const isLogged = (call: ts.Expression) => /^(?:[\w.]+\.)?(?:log|logger|console)\.\w+$/.test(call.getText())
  return (
    ts.isExpressionStatement(node) &&
    ts.isCallExpression(node.expression) &&
    isLogged(node.expression.expression)
  )
}

/** The text that an error is made with. */
function isMessage(node: ts.Node): boolean {
  return ts.isTemplateExpression(node) && ts.isNewExpression(node.parent)
}

/** `this.name = 'SomeError'`: for logs. */
function isName(node: ts.Expression): boolean {
  return ts.isBinaryExpression(node) && node.left.getText() === 'this.name' && isText(node.right)
}

function isText(node: ts.Node): boolean {
  return ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)
}
