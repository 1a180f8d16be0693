import type { Figure } from '../measure/figures.js'
import { formatValue, type Report } from './report.js'

const BEGIN = '<!-- begin: last run -->'
const END = '<!-- end: last run -->'

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

function showFigure(figures: Report['figures'], id: string): string {
  const figure = figures[id]
  return figure === undefined ? '' : `${formatValue(figure.median)} ${figure.unit}`
}

/** Distance of the extremes from each other, against the median. */
function formatSpread({ least, most, median, values }: Figure): string {
  return values.length < 2 ? '' : `${(((most - least) / median) * 100).toFixed(0)} %`
}

/** The tables of a run as Markdown. */
export function formatMarkdown(report: Report): string {
  const { machine, figures, targets, params, failures } = report
  const about = [
    `${report.date.slice(0, 10)}: ${machine['cpus']} x ${machine['cpu']}, ${machine['memoryMiB']} MiB, Linux ${machine['kernel']},`,
    `Node ${machine['node']}; big file ${params.tree.bigBytes / 1024 / 1024} MiB, plain files on ${machine['plainFileSystem']}.`,
    `The run took ${report.seconds.toFixed(0)} s.`,
  ]
  const judged = targets.map((target) =>
    row([
      target.work,
      showFigure(figures, target.row),
      target.against.map((id) => `${id} ${showFigure(figures, id)}`).join(', '),
      target.against.length === 0 ? '' : formatValue(target.ratio),
      `${target.kind === 'most' ? '<=' : '>='} ${formatValue(target.bound)}`,
      target.beyond === undefined ? '' : formatValue(target.beyond),
      target.isMet ? 'yes' : '**no**',
    ]),
  )
  const measured = Object.entries(figures).map(([id, figure]) =>
    row([id, formatValue(figure.median), figure.unit, formatSpread(figure), String(figure.values.length)]),
  )
  const failed = Object.keys(failures)
  return [
    about.join('\n'),
    '',
    row(['work', 'figure', 'compared with', 'ratio', 'target', 'beyond', 'met']),
    row(['---', '---', '---', '---', '---', '---', '---']),
    ...judged,
    '',
    row(['row', 'median', 'unit', 'spread', 'runs']),
    row(['---', '---', '---', '---', '---']),
    ...measured,
    ...(failed.length === 0 ? [] : ['', `Not measured: ${failed.join(', ')}.`]),
  ].join('\n')
}

/** Puts the tables between the marks of a document. */
export function replaceLastRun(document: string, report: Report): string {
  const from = document.indexOf(BEGIN)
  const to = document.indexOf(END)
  if (from < 0 || to < from) throw new Error(`the document lacks the marks ${BEGIN} and ${END}`)
  return `${document.slice(0, from + BEGIN.length)}\n\n${formatMarkdown(report)}\n\n${document.slice(to)}`
}
