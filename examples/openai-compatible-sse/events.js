'use strict'

/**
 * The data of server-sent events (HTML standard, 9.2.6), as they come.
 * @param {Response} response
 */
async function* events(response) {
  const decoder = new TextDecoder()
  let text = ''
  for await (const bytes of response.body) {
    text += decoder.decode(bytes, { stream: true })
    for (;;) {
      const end = /\r\n\r\n|\n\n|\r\r/.exec(text)
      if (end === null) break
      const lines = text.slice(0, end.index).split(/\r\n|\n|\r/)
      text = text.slice(end.index + end[0].length)
      const data = lines.filter((line) => line.startsWith('data:')).map((line) => line.slice(5).replace(/^ /, ''))
      if (data.length > 0) yield data.join('\n')
    }
  }
}

module.exports = { events }
