// Waits for one event, and must then end by itself.
import { EventSource } from 'ssehub'

const source = new EventSource(process.argv[2])
source.onmessage = event => {
  console.log(event.data)
  source.close()
}
