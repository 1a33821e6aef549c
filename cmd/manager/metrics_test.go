// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// A manager that may not read the namespace says what that costs; one that cannot is started again.
func TestTheClusterIsToldFromOthers(t *testing.T) {
	for name, c := range map[string]struct {
		code                 int
		body, uid, says, err string
	}{
		"there":     {200, `{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":"42"}}`, "42", "", ""},
		"forbidden": {403, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403}`, "", "allow the manager to get the namespace kube-system", ""},
		"broken":    {400, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"BadRequest","code":400}`, "", "", "telling this cluster from others"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(c.code)
				_, _ = w.Write([]byte(c.body))
			}))
			defer server.Close()
			said := ""
			uid, err := cluster(t.Context(), kubernetes.NewForConfigOrDie(&rest.Config{Host: server.URL}), funcr.New(func(_, args string) { said += args }, funcr.Options{}))
			if uid != c.uid || !strings.Contains(said, c.says) || (said == "") != (c.says == "") {
				t.Errorf("it is %q, and says %q", uid, said)
			}
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
		})
	}
}
