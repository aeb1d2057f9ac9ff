// Makes what the server has drawn follow what happens. Without it, pages work and are loaded anew.
const main = document.querySelector('main[data-live]')
if (main) {
  const source = new EventSource(main.dataset.live)
  source.addEventListener('now', ({ data }) => {
    const focused = document.activeElement?.getAttribute('href')
    main.innerHTML = data
    if (focused) {
      main.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus()
    }
  })
  // Refused for good: the session is too old, and the login page knows what to do.
  source.addEventListener('error', () => {
    if (source.readyState === EventSource.CLOSED) {
      location.reload()
    }
  })
  source.addEventListener('ended', () => {
    source.close()
    location.assign('/console/ended')
  })
}
