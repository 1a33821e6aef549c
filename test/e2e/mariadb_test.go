// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// mariadb serves a database on a volume of its own. Its password is in the Secret mariadb.
const mariadb = `
metadata: {name: mariadb}
spec:
  serviceName: mariadb
  replicas: 1
  selector: {matchLabels: {app: mariadb}}
  template:
    metadata: {labels: {app: mariadb}}
    spec:
      terminationGracePeriodSeconds: 10
      securityContext: {runAsUser: 1000, runAsGroup: 1000, fsGroup: 1000}
      containers:
        - name: mariadb
          image: docker.io/millrace/mariadb:dev
          imagePullPolicy: IfNotPresent
          env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: mariadb, key: password}}}]
          resources: {requests: {cpu: 10m, memory: 64Mi}}
          readinessProbe: {tcpSocket: {port: 3306}, periodSeconds: 1}
          volumeMounts: [{name: data, mountPath: /var/lib/mysql}]
  volumeClaimTemplates:
    - metadata: {name: data}
      spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
`

const password = "s3cret-of-the-tests"

// serveMariaDB starts a database in a namespace and waits until it takes connections.
func serveMariaDB(ctx context.Context, namespace string) *appsv1.StatefulSet {
	GinkgoHelper()
	set := &appsv1.StatefulSet{}
	Expect(yaml.UnmarshalStrict([]byte(mariadb), set)).To(Succeed())
	set.Namespace = namespace
	create(ctx,
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "mariadb"}, StringData: map[string]string{"password": password}},
		&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "mariadb"}, Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": "mariadb"}, Ports: []corev1.ServicePort{{Port: 3306}},
		}}, set)
	Eventually(func() int32 {
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(set), set)).To(Succeed())
		return set.Status.ReadyReplicas
	}).Should(BeEquivalentTo(1))
	return set
}

// serving scales a database to so many servers, one or none, and waits for that.
func serving(ctx context.Context, set *appsv1.StatefulSet, replicas int32) {
	GinkgoHelper()
	before := set.DeepCopy()
	set.Spec.Replicas = &replicas
	Expect(cluster.Patch(ctx, set, client.MergeFrom(before))).To(Succeed())
	Eventually(func() bool {
		Expect(cluster.Get(ctx, client.ObjectKeyFromObject(set), set)).To(Succeed())
		return set.Status.Replicas == replicas && set.Status.ReadyReplicas == replicas
	}).Should(BeTrue())
}

// kept is how many values of the loss the database has of each trial of a namespace.
func kept(ctx context.Context, namespace string) map[string]string {
	GinkgoHelper()
	said := run(ctx, "KUBECTL", "-n", namespace, "exec", "mariadb-0", "--", "mariadb", "--socket=/tmp/mysql", "-umillrace", "-p"+password, "millrace", "-Ne",
		"SELECT s.trial, COUNT(*) FROM millrace_samples v JOIN millrace_series s ON v.series = s.id WHERE s.namespace = '"+namespace+
			"' AND s.metric = 'loss' GROUP BY s.trial")
	rows := map[string]string{}
	for line := range strings.SplitSeq(strings.TrimSpace(said.out), "\n") {
		if trial, count, ok := strings.Cut(line, "\t"); ok {
			rows[trial] = count
		}
	}
	return rows
}

var _ = Describe("a database", Label("database"), Serial, func() {
	It("has every value, with its manager killed and its server away for 20 seconds, and loses those of trials that are deleted", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		set := serveMariaDB(ctx, namespace)
		dsn := &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "millrace-store"},
			StringData: map[string]string{"dsn": "mysql:millrace:" + password + "@tcp(mariadb." + namespace + ".svc:3306)/millrace"},
		}
		create(ctx, dsn)
		DeferCleanup(func(ctx SpecContext) {
			Expect(cluster.Delete(ctx, dsn)).To(Succeed())
			killManagers(ctx)
		})
		killManagers(ctx) // the next reads the Secret
		const values, all = 25, 4
		e := experiment(namespace, fmt.Sprintf(search, all, "{kind: StdOut}", fmt.Sprintf(`
                    import time
                    for i in range(%d):
                        print("loss=%%g" %% (loss + %d - 1 - i), flush=True)
                        time.sleep(1)`, values, values)))
		e.Spec.ParallelTrials = 2
		create(ctx, e)
		Eventually(func() int { return len(kept(ctx, namespace)) }).Should(Equal(2))
		killManagers(ctx)
		serving(ctx, set, 0)
		away := time.Now()
		Eventually(func() time.Duration { return time.Since(away) }).Should(BeNumerically(">=", 20*time.Second))
		serving(ctx, set, 1)
		expect(ctx, e, v1alpha1.ConditionSucceeded, "True MaxTrialsReached")
		want := map[string]string{}
		for name, t := range trials(ctx, e) {
			want[name] = fmt.Sprint(values)
			Expect(t.Status.Metrics[0].Latest).To(Equal(t.Status.Metrics[0].Min), name)
		}
		Expect(want).To(HaveLen(all))
		Expect(kept(ctx, namespace)).To(Equal(want))
		log := run(ctx, "KUBECTL", "-n", system, "logs", "deployment/"+manager)
		Expect(log.out).NotTo(Or(BeEmpty(), ContainSubstring(password)))

		Expect(cluster.Delete(ctx, e)).To(Succeed())
		Eventually(func() map[string]string { return kept(ctx, namespace) }).Should(BeEmpty())
	})
})
