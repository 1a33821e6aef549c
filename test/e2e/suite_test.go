// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"os"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/controllers"
)

// patience is how long a spec waits for what takes the cluster seconds: it has two cores, and specs share them with it.
const patience = 3 * time.Minute

// cluster is the administrator's access to the cluster.
var cluster client.Client

func TestEndToEnd(t *testing.T) {
	RegisterFailHandler(Fail)
	SetDefaultEventuallyTimeout(patience)
	SetDefaultEventuallyPollingInterval(250 * time.Millisecond)
	RunSpecs(t, "Millrace on a cluster")
}

var _ = BeforeSuite(func() {
	for _, name := range []string{"KUBECONFIG", "KUBECTL", "MILL"} {
		Expect(os.Getenv(name)).NotTo(BeEmpty(), name+" is not set: run make e2e")
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	Expect(err).NotTo(HaveOccurred())
	config.QPS = -1
	scheme, err := controllers.Scheme()
	Expect(err).NotTo(HaveOccurred())
	cluster, err = client.New(config, client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
})

// newNamespace makes a namespace that goes with the spec, and shows what is in it when the spec fails.
func newNamespace(ctx SpecContext) string {
	GinkgoHelper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	Expect(cluster.Create(ctx, ns)).To(Succeed())
	DeferCleanup(func(ctx SpecContext) {
		if CurrentSpecReport().Failed() {
			show(ctx, ns.Name)
		}
		Expect(cluster.Delete(ctx, ns)).To(Succeed())
	})
	return ns.Name
}

// show prints the state of a namespace and the last of the manager's log.
func show(ctx context.Context, namespace string) {
	for _, args := range [][]string{
		{"-n", namespace, "get", "trainingjobs,experiments,trials,notebooks,jobs,pods,services", "-o", "wide"},
		{"-n", namespace, "get", "trainingjobs,trials,notebooks", "-o", "yaml"},
		{"-n", namespace, "get", "events", "--sort-by=.lastTimestamp"},
		{"-n", "millrace-system", "get", "pods"},
		{"-n", "millrace-system", "logs", "deployment/millrace-manager", "--tail=40"},
	} {
		said := run(ctx, "KUBECTL", args...)
		GinkgoWriter.Printf("\n$ kubectl %v\n%s%s\n", args, said.out, said.err)
	}
}
