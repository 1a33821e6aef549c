// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package envtest gives tests a real API server with Millrace's kinds installed, and counts what is asked of it.
//
// One server serves all tests of a binary; each test takes a namespace of its own:
//
//	func TestMain(m *testing.M) { os.Exit(envtest.Main(m)) }
//
//	func TestX(t *testing.T) {
//		server := envtest.Start(t)
//		namespace := server.Namespace(t)
//		config, requests := server.Counted()
//		...
//	}
//
// The binaries of the server come from KUBEBUILDER_ASSETS, which make sets. Without it tests are skipped; with it a
// server that does not start is a failure.
package envtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// AssetsVariable names the directory with kube-apiserver and etcd.
const AssetsVariable = "KUBEBUILDER_ASSETS"

// startTimeout is generous: the machine may be building other things at the same time.
const startTimeout = 120 * time.Second

// Server is a running API server.
type Server struct {
	// Config is the administrator's. It is not throttled.
	Config *rest.Config

	environment *envtest.Environment
}

// shared is the one server of a test binary.
var shared struct {
	sync.Mutex
	main   bool
	server *Server
	err    error
}

// Main runs the tests of a binary and stops the server if one of them started it. It returns the exit code.
func Main(m *testing.M) int {
	shared.main = true
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		return code
	}
	if err := shared.server.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// Start returns the server of this test binary, starting it when needed. The binary's TestMain must call Main.
func Start(tb testing.TB) *Server {
	tb.Helper()
	if os.Getenv(AssetsVariable) == "" {
		tb.Skipf("needs an API server: run by make test, or set %s to the directory printed by make envtest-assets", AssetsVariable)
	}
	if !shared.main {
		tb.Fatal("TestMain of this package must call envtest.Main, or the API server would outlive the tests")
	}
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = New()
	}
	if shared.err != nil {
		tb.Fatal(shared.err)
	}
	return shared.server
}

// StartWith starts a server of its own for one test, with further flags of kube-apiserver.
func StartWith(tb testing.TB, flags map[string]string) *Server {
	tb.Helper()
	if os.Getenv(AssetsVariable) == "" {
		tb.Skipf("needs an API server: set %s to the directory printed by make envtest-assets", AssetsVariable)
	}
	server, err := start(flags)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := server.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return server
}

// New starts a server of its own, for suites that stop it themselves. Extra lists directories or files of further CRDs.
func New(extra ...string) (*Server, error) { return start(nil, extra...) }

func start(flags map[string]string, extra ...string) (*Server, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	environment := &envtest.Environment{
		CRDDirectoryPaths:        append([]string{filepath.Join(root, "config", "crd", "bases")}, extra...),
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: startTimeout,
		ControlPlaneStopTimeout:  startTimeout,
	}
	for name, value := range flags {
		environment.ControlPlane.GetAPIServer().Configure().Set(name, value)
	}
	config, err := environment.Start()
	if err != nil {
		// A server that came up without its kinds must not be left behind.
		return nil, errors.Join(fmt.Errorf("starting API server: %w", err), environment.Stop())
	}
	// Tests measure requests and time; a client that waits for a token would hide both.
	config.QPS = -1
	return &Server{Config: config, environment: environment}, nil
}

// Stop ends the server.
func (s *Server) Stop() error {
	if err := s.environment.Stop(); err != nil {
		return fmt.Errorf("stopping API server: %w", err)
	}
	return nil
}

// InstallCRDs adds the CRDs of a directory or file.
func (s *Server) InstallCRDs(tb testing.TB, path string) {
	tb.Helper()
	if _, err := envtest.InstallCRDs(s.Config, envtest.CRDInstallOptions{Paths: []string{path}, ErrorIfPathMissing: true}); err != nil {
		tb.Fatal(err)
	}
}

// Counted returns a configuration of the administrator whose requests are counted.
func (s *Server) Counted() (*rest.Config, *Counter) { return Counted(s.Config) }

// Counted returns a copy of a configuration whose requests are counted.
func Counted(config *rest.Config) (*rest.Config, *Counter) {
	counter := &Counter{}
	config = rest.CopyConfig(config)
	config.Wrap(counter.Wrap)
	return config, counter
}

// User returns the configuration of a user with a client certificate, who may do what RBAC allows and no more.
func (s *Server) User(tb testing.TB, name string, groups ...string) *rest.Config {
	tb.Helper()
	user, err := s.environment.AddUser(envtest.User{Name: name, Groups: groups}, &rest.Config{QPS: -1})
	if err != nil {
		tb.Fatal(err)
	}
	return user.Config()
}

// Kubeconfig returns the same as a file, for programs of their own.
func (s *Server) Kubeconfig(tb testing.TB, name string, groups ...string) []byte {
	tb.Helper()
	user, err := s.environment.AddUser(envtest.User{Name: name, Groups: groups}, &rest.Config{QPS: -1})
	if err != nil {
		tb.Fatal(err)
	}
	file, err := user.KubeConfig()
	if err != nil {
		tb.Fatal(err)
	}
	return file
}

// Client returns a client of the administrator without a cache.
func (s *Server) Client(tb testing.TB, scheme *runtime.Scheme) client.WithWatch {
	tb.Helper()
	c, err := client.NewWithWatch(s.Config, client.Options{Scheme: scheme})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// Namespace makes a namespace for one test and returns its name.
func (s *Server) Namespace(tb testing.TB) string {
	tb.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	c, err := client.New(s.Config, client.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.Create(tb.Context(), namespace); err != nil {
		tb.Fatal(err)
	}
	return namespace.Name
}

// moduleRoot finds the root of the module that the test's package, which is its working directory, belongs to.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("finding module root: %w", err)
	}
	for {
		data, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(data), "module github.com/millrace-ml/millrace\n") {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("finding module root: no go.mod of Millrace above the working directory")
		}
		dir = parent
	}
}
