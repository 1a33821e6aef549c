// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	authentication "k8s.io/client-go/kubernetes/typed/authentication/v1"
	authorization "k8s.io/client-go/kubernetes/typed/authorization/v1"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/internal/envtest"
)

func TestMain(m *testing.M) { os.Exit(envtest.Main(m)) }

// account makes a service account and returns a token of it.
func account(t *testing.T, admin client.Client, namespace, name string) string {
	t.Helper()
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	if err := admin.Create(t.Context(), sa); err != nil {
		t.Fatal(err)
	}
	request := &authenticationv1.TokenRequest{}
	if err := admin.SubResource("token").Create(t.Context(), sa, request); err != nil {
		t.Fatal(err)
	}
	return request.Status.Token
}

// allow lets a service account get /metrics.
func allow(t *testing.T, admin client.Client, namespace, name string) {
	t.Helper()
	for _, o := range []client.Object{
		&rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: namespace},
			Rules:      []rbacv1.PolicyRule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/metrics"}}},
		},
		&rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: namespace},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: namespace},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: name}},
		},
	} {
		if err := admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFilter asks a real API server.
func TestFilter(t *testing.T) {
	server := envtest.Start(t)
	admin, namespace := server.Client(t, clientgoscheme.Scheme), server.Namespace(t)
	reader, stranger := account(t, admin, namespace, "reader"), account(t, admin, namespace, "stranger")
	allow(t, admin, namespace, "reader")
	config, requests := server.Counted()
	g := newGuard(t, config)
	handler, err := g.filter(logr.Discard(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if _, err := io.WriteString(w, "secret"); err != nil {
			t.Error(err)
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		method, path, authorization string
		want                        int
		says                        string
	}{
		"no token":               {http.MethodGet, "/metrics", "", http.StatusUnauthorized, "bearer token"},
		"another scheme":         {http.MethodGet, "/metrics", "Basic " + reader, http.StatusUnauthorized, "bearer token"},
		"an empty token":         {http.MethodGet, "/metrics", "Bearer ", http.StatusUnauthorized, "bearer token"},
		"a token of nobody":      {http.MethodGet, "/metrics", "Bearer abc", http.StatusUnauthorized, "bearer token"},
		"who is not allowed":     {http.MethodGet, "/metrics", "Bearer " + stranger, http.StatusForbidden, "stranger may not get /metrics"},
		"who is allowed":         {http.MethodGet, "/metrics", "Bearer " + reader, http.StatusOK, "secret"},
		"a path not allowed":     {http.MethodGet, "/other", "Bearer " + reader, http.StatusForbidden, "reader may not get /other"},
		"a verb not allowed":     {http.MethodPost, "/metrics", "Bearer " + reader, http.StatusForbidden, "may not"},
		"a scheme in lower case": {http.MethodGet, "/metrics", "bearer " + reader, http.StatusOK, "secret"},
	} {
		t.Run(name, func(t *testing.T) {
			status, body := get(handler, tc.method, tc.path, tc.authorization)
			if status != tc.want || !strings.Contains(body, tc.says) {
				t.Errorf("answer %d %q, want %d and %q", status, body, tc.want, tc.says)
			}
			if strings.Contains(body, "secret") != (tc.want == http.StatusOK) {
				t.Errorf("answer %d tells %q", status, body)
			}
		})
	}
	requests.Reset()
	get(handler, http.MethodGet, "/metrics", "Bearer "+reader)
	get(handler, http.MethodGet, "/metrics", "Bearer abc")
	if asked := requests.Requests(); len(asked) > 0 {
		t.Errorf("answers that are known were asked for again: %v", asked)
	}
	g.clock.(*clocktesting.FakePassiveClock).SetTime(time.Now().Add(2 * kept))
	get(handler, http.MethodGet, "/metrics", "Bearer "+reader)
	if asked := requests.Requests(); len(asked) != 2 {
		t.Errorf("requests for an answer that is old: %v, want two reviews", asked)
	}
}

// TestNobodyIsLetInWhenTheServerIsGone: an endpoint that cannot ask is closed, and asks again.
func TestNobodyIsLetInWhenTheServerIsGone(t *testing.T) {
	server := envtest.Start(t)
	config, requests := server.Counted()
	config.Host = "https://127.0.0.1:1"
	g := newGuard(t, config)
	handler, err := g.filter(logr.Discard(), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("somebody was let in") }))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if status, _ := get(handler, http.MethodGet, "/metrics", "Bearer abc"); status != http.StatusInternalServerError {
			t.Errorf("answer %d, want 500", status)
		}
	}
	if asked := requests.Requests(); len(asked) != 2 {
		t.Errorf("requests: %v, want one for each try", asked)
	}
}

// TestAnswersAreBounded: who tries tokens must not fill the memory.
func TestAnswersAreBounded(t *testing.T) {
	g := &guard{clock: clocktesting.NewFakePassiveClock(time.Now()), answers: map[question]answer{}}
	for i := range 3 * most {
		g.remember(question{token: [32]byte{byte(i), byte(i >> 8)}}, answer{})
	}
	if len(g.answers) > most {
		t.Errorf("%d answers are kept, want at most %d", len(g.answers), most)
	}
}

func newGuard(t *testing.T, config *rest.Config) *guard {
	t.Helper()
	tokens, err := authentication.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	access, err := authorization.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return &guard{
		tokens: tokens.TokenReviews(), access: access.SubjectAccessReviews(),
		clock: clocktesting.NewFakePassiveClock(time.Now()), answers: map[question]answer{},
	}
}

func get(handler http.Handler, method, path, authorization string) (int, string) {
	request := httptest.NewRequest(method, path, nil)
	if authorization != "" {
		request.Header.Set("Authorization", authorization)
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer.Code, answer.Body.String()
}
