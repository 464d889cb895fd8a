// SPDX-License-Identifier: Apache-2.0

// A minimal net/http server that checks the token, answers one job, sends one file and takes one upload:
// server PORT TOKEN FOLDER, where FOLDER holds `body` and `download` and takes uploads.
package main

import (
	"crypto/subtle"
	"io"
	"net/http"
	"os"
)

func main() {
	folder := os.Args[3]
	body, err := os.ReadFile(folder + "/body")
	if err != nil {
		panic(err)
	}
	expected := []byte("Bearer " + os.Args[2])
	guarded := func(method string, handle http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if subtle.ConstantTimeCompare([]byte(r.Header.Get("Authorization")), expected) != 1 {
				w.WriteHeader(401)
			} else if r.Method != method {
				w.WriteHeader(405)
			} else {
				handle(w, r)
			}
		}
	}
	answer := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	}
	http.HandleFunc("/jobs/", guarded("GET", answer))
	http.HandleFunc("/file", guarded("GET", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, folder+"/download")
	}))
	http.HandleFunc("/build", guarded("POST", func(w http.ResponseWriter, r *http.Request) {
		f, err := os.CreateTemp(folder, "upload")
		if err != nil {
			panic(err)
		}
		defer f.Close()
		os.Remove(f.Name())
		if _, err := io.Copy(f, r.Body); err != nil {
			panic(err)
		}
		answer(w, r)
	}))
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
