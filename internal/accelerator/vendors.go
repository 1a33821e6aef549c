// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

package accelerator

// vendor is how nodes tell of the devices of a vendor.
type vendor struct {
	// resources are extended resources, or what they begin with where they end in a star.
	resources []string
	// products are the labels that name the device, the most exact one first.
	products []string
}

// clouds are the labels by which cloud providers name the devices of a node.
var clouds = []string{
	"cloud.google.com/gke-accelerator", "karpenter.k8s.aws/instance-gpu-name", "k8s.amazonaws.com/accelerator",
	"kubernetes.azure.com/accelerator", "accelerator",
}

// vendors is the table. Its labels are those of GPU feature discovery, the node labellers of AMD and Intel, GKE, EKS, AKS and Karpenter.
var vendors = []vendor{
	{[]string{"nvidia.com/gpu", "nvidia.com/gpu.shared", "nvidia.com/mig-*"}, append([]string{"nvidia.com/gpu.product"}, clouds...)},
	{[]string{"amd.com/*"}, append([]string{"amd.com/gpu.product-name", "amd.com/gpu.family"}, clouds...)},
	{[]string{"google.com/tpu"}, []string{"cloud.google.com/gke-tpu-accelerator"}},
	{[]string{"habana.ai/gaudi"}, clouds},
	{[]string{"gpu.intel.com/i915", "gpu.intel.com/xe"}, []string{"gpu.intel.com/product", "gpu.intel.com/family"}},
	{[]string{"aws.amazon.com/neuron", "aws.amazon.com/neuroncore", "aws.amazon.com/neurondevice"}, []string{
		"karpenter.k8s.aws/instance-accelerator-name", "node.kubernetes.io/instance-type",
	}},
}

// companions are labels that tell nodes of one product apart.
var companions = []string{
	"cloud.google.com/gke-tpu-topology", "cloud.google.com/gke-gpu-partition-size", "cloud.google.com/gke-gpu-sharing-strategy",
}

// fabrics are labels that tell which nodes are near each other, from narrow to wide.
var fabrics = []string{
	"nvidia.com/gpu.clique", "network.topology.nvidia.com/accelerator",
	"cloud.google.com/gce-topology-host", "cloud.google.com/gce-topology-subblock", "cloud.google.com/gce-topology-block",
	"network.topology.nvidia.com/leaf", "network.topology.nvidia.com/spine", "network.topology.nvidia.com/core",
	"topology.k8s.aws/network-node-layer-3", "topology.k8s.aws/network-node-layer-2", "topology.k8s.aws/network-node-layer-1",
	"topology.kubernetes.io/zone",
}

// reserved are the keys of taints that keep nodes for such devices, beside those that begin as the resource does.
var reserved = []string{"sku", "accelerator", "gpu", "dedicated-gpu"}
