// Makes what the server has drawn follow what happens. Without it, pages work and are loaded anew.
// On a phone the names of the pages do not fit beside each other.
const nav = document.querySelector('nav')
const here = nav?.querySelector('[aria-current]')
if (here) {
  nav.scrollLeft = here.offsetLeft - nav.offsetLeft - 40
}
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
  // Refused for good: the session is too old, and the login page knows what to do; or too many watch, and it can wait.
  source.addEventListener('error', () => {
    if (source.readyState === EventSource.CLOSED) {
      setTimeout(() => location.reload(), 5000)
    }
  })
  source.addEventListener('ended', () => {
    source.close()
    location.assign('/console/ended')
  })
}
