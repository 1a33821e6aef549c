// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package activity

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

const (
	early = "2026-01-01T10:00:00.000000Z"
	late  = "2026-01-01T11:30:00.000000Z"
)

func at(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

// fake answers paths with texts; one it does not know is not found, and one that begins with a number is that status.
func fake(t *testing.T, paths map[string]string) Target {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, known := paths[strings.TrimPrefix(r.URL.Path, "/notebook/team/lab/")]
		switch {
		case !known:
			http.NotFound(w, r)
		case text == "403":
			http.Error(w, "Forbidden", http.StatusForbidden)
		case text == "302":
			http.Redirect(w, r, "/login", http.StatusFound)
		case strings.HasPrefix(r.URL.Path, "/notebook/team/lab/api/") && r.URL.Query().Get("no_track_activity") == "":
			t.Errorf("%s is taken for use of the server", r.URL)
		default:
			_, _ = w.Write([]byte(text))
		}
	}))
	t.Cleanup(server.Close)
	return Target{Base: server.URL + "/notebook/team/lab/"}
}

const (
	idleKernel = `[{"id":"1","execution_state":"idle","connections":0,"last_activity":"` + early + `"}]`
	used       = `{"connections":0,"kernels":0,"last_activity":"` + early + `"}`
)

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		server v1alpha1.NotebookServer
		paths  map[string]string
		want   Answer
	}{
		"an idle kernel":            {v1alpha1.Jupyter, map[string]string{"api/kernels": idleKernel, "api/terminals": "[]", "api/status": used}, Answer{Last: at(early)}},
		"nothing, of an old server": {v1alpha1.Jupyter, map[string]string{"api/kernels": "[]"}, Answer{}},
		"a kernel that works for long": {v1alpha1.Jupyter, map[string]string{
			"api/kernels": `[{"execution_state":"busy","connections":0,"last_activity":"` + early + `"}]`, "api/terminals": "[]",
		}, Answer{Busy: true, Last: at(early)}},
		"a kernel in a state of its own": {v1alpha1.Jupyter, map[string]string{"api/kernels": `[{"execution_state":"debugging","last_activity":"` + early + `"}]`}, Answer{Busy: true, Last: at(early)}},
		"a terminal beside an idle kernel": {v1alpha1.Jupyter, map[string]string{
			"api/kernels": idleKernel, "api/terminals": `[{"name":"1","last_activity":"` + late + `"}]`, "api/status": used,
		}, Answer{Connections: 1, Last: at(late)}},
		"a terminal that does not tell": {v1alpha1.Jupyter, map[string]string{"api/kernels": "[]", "api/terminals": `[{"name":"1"}]`}, Answer{Busy: true, Connections: 1}},
		"a websocket to an idle kernel": {v1alpha1.Jupyter, map[string]string{
			"api/kernels": `[{"execution_state":"idle","connections":2,"last_activity":"` + early + `"}]`,
		}, Answer{Connections: 2, Last: at(early)}},
		"a file that was saved": {v1alpha1.Jupyter, map[string]string{
			"api/kernels": "[]", "api/status": `{"last_activity":"` + late + `"}`,
		}, Answer{Last: at(late)}},
		"code-server in use":     {v1alpha1.VSCode, map[string]string{"healthz": `{"status":"alive","lastHeartbeat":1767265200000}`}, Answer{Busy: true, Last: time.UnixMilli(1767265200000)}},
		"code-server left alone": {v1alpha1.VSCode, map[string]string{"healthz": `{"status":"expired","lastHeartbeat":1767265200000}`}, Answer{Last: time.UnixMilli(1767265200000)}},
		"code-server never used": {v1alpha1.VSCode, map[string]string{"healthz": `{"status":"expired","lastHeartbeat":0}`}, Answer{}},
		"RStudio in use":         {v1alpha1.RStudio, map[string]string{"health-check": "active-sessions: 1\nidle-seconds: 0\ncpu-percent: 1.5\n"}, Answer{Busy: true}},
		"RStudio left alone":     {v1alpha1.RStudio, map[string]string{"health-check": "active-sessions: 1\nidle-seconds: 90\ncpu-percent: 0.0\n"}, Answer{Idle: 90 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			target := fake(t, c.paths)
			target.Server = c.server
			got, err := NewClient(time.Minute, "").Ask(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			if got.Now.IsZero() {
				t.Error("it does not tell what the server's clock showed")
			}
			got.Now = time.Time{}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("the answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsNoAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		server v1alpha1.NotebookServer
		paths  map[string]string
		want   string
	}{
		"a token is asked for":           {v1alpha1.Jupyter, map[string]string{"api/kernels": "403"}, "GET api/kernels?no_track_activity=1: 403 Forbidden: the server asks who it is"},
		"a password is asked for":        {v1alpha1.Jupyter, map[string]string{"api/kernels": "302"}, "302 Found: the server asks who it is"},
		"terminals cannot be seen":       {v1alpha1.Jupyter, map[string]string{"api/kernels": "[]", "api/terminals": "403"}, "api/terminals"},
		"it is no Jupyter":               {v1alpha1.Jupyter, map[string]string{"api/kernels": "<html>"}, "not that of a Jupyter server"},
		"it is at another path":          {v1alpha1.Jupyter, nil, "404 Not Found"},
		"it is no code-server":           {v1alpha1.VSCode, map[string]string{"healthz": "ok"}, "not that of code-server"},
		"it is no RStudio Workbench":     {v1alpha1.RStudio, map[string]string{"health-check": "<html>"}, "not that of RStudio Workbench"},
		"a web application is not asked": {v1alpha1.Web, nil, "does not tell"},
	} {
		t.Run(name, func(t *testing.T) {
			target := fake(t, c.paths)
			target.Server = c.server
			if _, err := NewClient(time.Minute, "").Ask(t.Context(), target); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestAServerThatDoesNotAnswerIsSaidSoWithoutItsPort(t *testing.T) {
	held := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-held }))
	defer silent.Close()
	defer close(held)
	_, err := NewClient(50*time.Millisecond, "").Ask(t.Context(), Target{Server: v1alpha1.VSCode, Base: silent.URL + "/"})
	if err == nil || err.Error() != "GET healthz: no answer in time" {
		t.Errorf("got %v", err)
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	_, err = NewClient(time.Second, "").Ask(t.Context(), Target{Server: v1alpha1.VSCode, Base: gone.URL + "/"})
	if err == nil || err.Error() != "GET healthz: connection refused" {
		t.Errorf("got %v", err)
	}
}

func TestLastUse(t *testing.T) {
	now := at("2026-01-01T12:00:00Z")
	for name, c := range map[string]struct {
		answer Answer
		want   time.Time
	}{
		"busy":                                   {Answer{Busy: true, Last: at(early)}, now},
		"connected":                              {Answer{Connections: 1, Last: at(early)}, now},
		"told":                                   {Answer{Last: at(early)}, at(early)},
		"counted":                                {Answer{Idle: time.Hour}, now.Add(-time.Hour)},
		"unknown":                                {Answer{}, time.Time{}},
		"told by a clock that is an hour behind": {Answer{Last: at("2026-01-01T10:50:00Z"), Now: at("2026-01-01T11:00:00Z")}, at("2026-01-01T11:50:00Z")},
		"told by a clock that is a year ahead":   {Answer{Last: at("2027-01-01T10:00:00Z"), Now: at("2027-01-01T12:00:00Z")}, at("2026-01-01T10:00:00Z")},
		"told to be in the future":               {Answer{Last: at("2027-01-01T10:00:00Z")}, now},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.answer.LastUse(now); !got.Equal(c.want) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestMetricsNameTheNotebooksInUse(t *testing.T) {
	prometheus := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := map[string]string{
			"gpu":   `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"namespace":"team","pod":"lab-0"},"value":[1,"87"]},{"metric":{"namespace":"team","pod":"quiet-0"},"value":[1,"0"]}]}}`,
			"istio": `{"status":"success","data":{"resultType":"vector","result":[{"metric":{"destination_service_namespace":"team","destination_service_name":"web-0"},"value":[1,"3"]}]}}`,
			"bad":   `{"status":"error"}`,
		}[r.URL.Query().Get("query")]
		_, _ = w.Write([]byte(answer))
	}))
	defer prometheus.Close()
	m := &Metrics{Client: NewClient(time.Minute, ""), Base: prometheus.URL + "/", Queries: []string{"gpu", "istio"}}
	got, err := m.Used(context.Background())
	want := map[types.NamespacedName]bool{{Namespace: "team", Name: "lab"}: true, {Namespace: "team", Name: "quiet"}: false, {Namespace: "team", Name: "web-0"}: true}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("in use (-want +got):\n%s, %v", diff, err)
	}
	m.Queries = []string{"gpu", "bad"}
	if _, err := m.Used(context.Background()); err == nil {
		t.Error("half of the truth is taken for all of it")
	}
}

func TestEverythingIsAskedThroughAProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.String() != "http://lab.team.svc.cluster.local/notebook/team/lab/healthz" {
			t.Errorf("the proxy is asked for %s", r.URL)
		}
		if _, err := fmt.Fprint(w, `{"status":"alive"}`); err != nil {
			t.Error(err)
		}
	}))
	defer proxy.Close()
	base := "http://lab.team.svc.cluster.local/notebook/team/lab/"
	got, err := NewClient(time.Minute, proxy.URL).Ask(t.Context(), Target{Server: v1alpha1.VSCode, Base: base})
	if err != nil || !got.Busy {
		t.Errorf("%+v, %v", got, err)
	}
}
