// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
)

// metrics is a server of one external metric of every name, whose value is 3.
const metrics = `
import datetime, http.server, json, ssl

VERSION = "external.metrics.k8s.io/v1beta1"

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.split("?")[0]
        now = datetime.datetime.utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": VERSION, "resources": []}
        if path != "/apis/" + VERSION:
            item = {"metricName": path.split("/")[-1], "metricLabels": {}, "timestamp": now, "value": "3"}
            body = {"kind": "ExternalMetricValueList", "apiVersion": VERSION, "metadata": {}, "items": [item]}
        self.send_response(200 if path.startswith("/apis/" + VERSION) else 404)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

server = http.server.ThreadingHTTPServer(("", 8443), Handler)
tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
server.socket = tls.wrap_socket(server.socket, server_side=True)
server.serve_forever()
`

// serveMetrics makes a cluster without external metrics have one, until the spec is over.
func serveMetrics(ctx SpecContext, namespace string) {
	GinkgoHelper()
	service := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
		"metadata": map[string]any{"name": "v1beta1.external.metrics.k8s.io"},
		"spec": map[string]any{
			"group": "external.metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
			"insecureSkipTLSVerify": true, "service": map[string]any{"namespace": namespace, "name": "metrics", "port": 443},
		},
	}}
	err := cluster.Create(ctx, service)
	if apierrors.IsAlreadyExists(err) {
		Skip("the cluster has external metrics of its own")
	}
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) { Expect(cluster.Delete(ctx, service)).To(Succeed()) })

	crt, key, err := cert.GenerateSelfSignedCertKey("metrics."+namespace+".svc", nil, nil)
	Expect(err).NotTo(HaveOccurred())
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "metrics", Labels: map[string]string{"app": "metrics"}}
	pod := &corev1.Pod{ObjectMeta: meta, Spec: role("Server", 1, "").Template.Spec}
	main := &pod.Spec.Containers[0]
	main.Command = []string{"python3", "-c", metrics}
	main.ReadinessProbe = listens(8443)
	main.VolumeMounts = []corev1.VolumeMount{{Name: "tls", MountPath: "/tls"}}
	pod.Spec.Volumes = []corev1.Volume{{Name: "tls", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "metrics"}}}}
	create(ctx,
		&corev1.Secret{ObjectMeta: meta, Type: corev1.SecretTypeTLS, Data: map[string][]byte{"tls.crt": crt, "tls.key": key}},
		pod,
		&corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Selector: meta.Labels, Ports: []corev1.ServicePort{{
			Port: 443, TargetPort: main.ReadinessProbe.TCPSocket.Port,
		}}}})
}

// autoscaler wants a worker of a job for each of what a metric counts.
func autoscaler(job *v1alpha1.TrainingJob) *autoscalingv2.HorizontalPodAutoscaler {
	return &autoscalingv2.HorizontalPodAutoscaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: job.Namespace, Name: job.Name},
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{
			ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{APIVersion: "millrace.dev/v1alpha1", Kind: "TrainingJob", Name: job.Name},
			MinReplicas:    new(int32(2)), MaxReplicas: 4,
			Metrics: []autoscalingv2.MetricSpec{{
				Type: autoscalingv2.ExternalMetricSourceType,
				External: &autoscalingv2.ExternalMetricSource{
					Metric: autoscalingv2.MetricIdentifier{Name: "backlog"},
					Target: autoscalingv2.MetricTarget{Type: autoscalingv2.AverageValueMetricType, AverageValue: new(resource.MustParse("1"))},
				},
			}},
		},
	}
}

var _ = Describe("a HorizontalPodAutoscaler", func() {
	It("sets the workers of an elastic job by a metric", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		serveMetrics(ctx, namespace)
		job := training(namespace, "scaled", role("Worker", 2, "sleep 3600"))
		job.Spec.Roles[0].Replicas, job.Spec.PyTorch = nil, elastic(2, 4)
		hpa := autoscaler(job)
		create(ctx, job, hpa)
		conditions := func() map[string]string {
			Expect(cluster.Get(ctx, client.ObjectKeyFromObject(hpa), hpa)).To(Succeed())
			found := map[string]string{}
			for _, c := range hpa.Status.Conditions {
				found[string(c.Type)] = string(c.Status) + " " + c.Reason
			}
			return found
		}
		Eventually(conditions).Should(And(
			HaveKeyWithValue("AbleToScale", HavePrefix("True")), HaveKeyWithValue("ScalingActive", "True ValidMetricFound")))
		Eventually(func() int { return len(pods(ctx, job)) }).Should(Equal(3))
		expect(ctx, job, v1alpha1.ConditionRunning, "True AllRunning")
		Expect(job.Spec.PyTorch.Elastic.Replicas).To(BeEquivalentTo(3))
		Eventually(func() int32 { conditions(); return hpa.Status.CurrentReplicas }).Should(BeEquivalentTo(3))
	})
})
