// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package extended

import (
	"context"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/controllers"
	"github.com/millrace-ml/millrace/internal/config"
	"github.com/millrace-ml/millrace/internal/envtest"
)

const patience = 120 * time.Second

// cluster is an API server and the administrator's access to it.
type cluster struct {
	*envtest.Server

	admin client.WithWatch
}

var (
	// home is the cluster of all specs, and admin its administrator.
	home  *cluster
	admin client.WithWatch
)

func TestMain(m *testing.M) { os.Exit(envtest.Main(m)) }

func TestExtended(t *testing.T) {
	home = newCluster(t, envtest.Start(t))
	admin = home.admin
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(patience)
	SetDefaultEventuallyPollingInterval(100 * time.Millisecond)
	RunSpecs(t, "Millrace with other systems")
}

func newCluster(tb testing.TB, server *envtest.Server) *cluster {
	tb.Helper()
	scheme, err := controllers.Scheme()
	if err != nil {
		tb.Fatal(err)
	}
	return &cluster{server, server.Client(tb, scheme)}
}

// startManager runs the manager as a user that may do what the generated role allows.
func (c *cluster) startManager() {
	GinkgoHelper()
	c.allow("../../config/rbac/role.yaml")
	cfg := config.Default()
	cfg.LeaderElection.Enabled, cfg.Metrics.BindAddress, cfg.Health.BindAddress = false, "", ""
	options := cfg.Manager(controllers.CacheOptions())
	options.Scheme = c.admin.Scheme()
	options.Controller.SkipNameValidation = new(true)
	mgr, err := ctrl.NewManager(c.User(GinkgoTB(), "manager", "managers"), options)
	Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	DeferCleanup(func() { cancel() })
	Expect(controllers.Setup(ctx, mgr, controllers.Options{})).To(Succeed())
	go func() {
		defer GinkgoRecover()
		Expect(mgr.Start(ctx)).To(Succeed())
	}()
}

// allow binds the managers to the generated role.
func (c *cluster) allow(path string) {
	GinkgoHelper()
	text, err := os.ReadFile(path)
	Expect(err).NotTo(HaveOccurred())
	role := &rbacv1.ClusterRole{}
	Expect(yaml.Unmarshal(text, role)).To(Succeed())
	Expect(c.admin.Create(context.Background(), role)).To(Succeed())
	Expect(c.admin.Create(context.Background(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "managers"}},
	})).To(Succeed())
}
