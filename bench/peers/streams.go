// SPDX-License-Identifier: Apache-2.0

// Open event streams in net/http, each held until its client goes: streams PORT.
package main

import (
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Write([]byte(": here\n\n"))
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
