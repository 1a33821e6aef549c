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
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/millrace-ml/millrace/api/v1alpha1"
	"github.com/millrace-ml/millrace/internal/names"
)

// notebookImage is Debian's Jupyter with kubectl.
const notebookImage = "docker.io/millrace/notebook:dev"

// cell runs code in a new kernel of the server at an address, by REST and websocket as a browser does, and prints what it prints.
const cell = `
import http.cookiejar, json, sys, uuid, urllib.request, tornado.ioloop, tornado.websocket
base, code = sys.argv[1], sys.argv[2]
jar = http.cookiejar.CookieJar()
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
browser.open(base + "tree").read()
token = next(c.value for c in jar if c.name == "_xsrf")
kernel = json.load(browser.open(urllib.request.Request(base + "api/kernels", data=b"{}", headers={"X-XSRFToken": token}, method="POST")))
async def main():
    ws = await tornado.websocket.websocket_connect(base.replace("http", "ws") + "api/kernels/" + kernel["id"] + "/channels")
    header = {"msg_id": uuid.uuid4().hex, "username": "", "session": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.3"}
    content = {"code": code, "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
    await ws.write_message(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}))
    while True:
        message = json.loads(await ws.read_message())
        if message["parent_header"].get("msg_id") != header["msg_id"]:
            continue
        if message["msg_type"] == "stream":
            sys.stdout.write(message["content"]["text"])
        if message["msg_type"] == "error":
            sys.exit("\n".join(message["content"]["traceback"]))
        if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
            return
tornado.ioloop.IOLoop.current().run_sync(main)
`

var _ = Describe("a notebook", Label("notebook"), func() {
	It("runs Jupyter below its prefix, keeps its files, and holds changes back while it runs", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		nb := &v1alpha1.Notebook{ObjectMeta: metav1.ObjectMeta{Name: "lab", Namespace: namespace}, Spec: v1alpha1.NotebookSpec{
			Image: notebookImage, Memory: new(resource.MustParse("512Mi")), CPU: new(resource.MustParse("200m")),
			Workspace: &v1alpha1.Workspace{Size: new(resource.MustParse("100Mi"))},
		}}
		create(ctx, nb)
		expect(ctx, nb, v1alpha1.ConditionReady, "True Serving")

		By("answering below its prefix, and running code in a kernel")
		base := fmt.Sprintf("http://lab.%s.svc/notebook/%s/lab/", namespace, namespace)
		Expect(inCell(ctx, namespace, base, "open('kept.txt', 'w').write('here'); print(6 * 7)")).To(Equal("42"))

		By("letting kubectl in a cell do what its service account may")
		asked := inCell(ctx, namespace, base, "import subprocess; print(subprocess.run(['kubectl', 'get', 'pods'], capture_output=True, text=True).stderr)")
		Expect(asked).To(ContainSubstring("forbidden"))

		By("holding a change back until it is restarted")
		pod := &corev1.Pod{}
		Expect(cluster.Get(ctx, client.ObjectKey{Namespace: namespace, Name: "lab-0"}, pod)).To(Succeed())
		before := nb.DeepCopy()
		nb.Spec.Env = []corev1.EnvVar{{Name: "NEW", Value: "yes"}}
		Expect(cluster.Patch(ctx, nb, client.MergeFrom(before))).To(Succeed())
		expect(ctx, nb, v1alpha1.ConditionUpToDate, "False ChangesPending: Changes wait for the next start (env)")
		Expect(run(ctx, "MILL", "notebook", "restart", "lab", "-n", namespace).code).To(BeZero())
		Eventually(func() bool {
			now := &corev1.Pod{}
			return cluster.Get(ctx, client.ObjectKeyFromObject(pod), now) == nil && now.UID != pod.UID
		}).Should(BeTrue())
		expect(ctx, nb, v1alpha1.ConditionUpToDate, "True")
		expect(ctx, nb, v1alpha1.ConditionReady, "True Serving")
		Expect(inCell(ctx, namespace, base, "import os; print(open('kept.txt').read(), os.environ['NEW'])")).To(Equal("here yes"))

		By("being known to be used, stopped when its life is over, and started again with its files")
		expect(ctx, nb, v1alpha1.ConditionActivityKnown, "True Answered")
		before = nb.DeepCopy()
		metav1.SetMetaDataAnnotation(&nb.ObjectMeta, names.Stopped, time.Now().UTC().Format(time.RFC3339))
		Expect(cluster.Patch(ctx, nb, client.MergeFrom(before))).To(Succeed())
		expect(ctx, nb, v1alpha1.ConditionReady, "True Stopped")
		Expect(run(ctx, "MILL", "notebook", "start", "lab", "-n", namespace).code).To(BeZero())
		expect(ctx, nb, v1alpha1.ConditionReady, "True Serving")
		Expect(inCell(ctx, namespace, base, "print(open('kept.txt').read())")).To(Equal("here"))
	}, SpecTimeout(6*time.Minute))
})

// inCell runs code in a kernel of the notebook lab.
func inCell(ctx context.Context, namespace, base, code string) string {
	GinkgoHelper()
	got := run(ctx, "KUBECTL", "exec", "-n", namespace, "lab-0", "--", "python3", "-c", cell, base, code)
	Expect(got.code).To(BeZero(), got.err)
	return strings.TrimSpace(got.out)
}
