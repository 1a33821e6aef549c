// Copyright The Millrace Authors.
// SPDX-License-Identifier: Apache-2.0

// Package trainingjob runs TrainingJobs. A job owns one headless Service, which gives every pod a host name, and one pod
// for each replica of each role, created in rank order.
//
//	              refused: Accepted=False, nothing is made
//	             /
//	(new) ------+---> starting ---> running ---> succeeded ---> deleted after
//	                  ^  ^    \    /   |  \                     ttlSecondsAfterFinished
//	                  |  |     restarting  +---> failed  -----> (the same)
//	                  |  +---------+
//	                  +-- suspended <-- spec.runPolicy.suspend, from any state but the last two
//
// What is decided comes from the pods that exist, in this order: did a role that decides succeed; is the job suspended; did a
// replica fail for good; is the restart budget spent; has a deadline passed. A replica is judged by its main container. Six
// things only are taken from the status, because the pods cannot tell them once they are gone: how the job ended, when it
// started, how often it was suspended, which replicas have succeeded, which units were restarted how often, and how often a gang
// was released and when it tries again. Each is stored before anything is done about it. A failed pod is deleted only when its failure has been counted in status.restarts; the
// attempt its replacement carries as a label is the sum of the counts of its replica, its role, its job, of the suspensions and of the releases,
// and a pod of an earlier attempt is one to delete. Pods are cleaned up only when the end of the job is stored. A manager that
// dies between any two writes thus neither counts a failure twice nor forgets it.
//
// Pods that were deleted, evicted or lost with their node are replaced without being charged to the restart budget, and so are
// failures that only tell that another process is gone.
//
// A pod on a node that is judged bad is such a loss too: it is recorded with the node, deleted, and made anew away from it. What is
// held against a node is stored in status.nodes before the pod that showed it is deleted.
//
// Jobs whose pods are launched over ssh own a Secret with keys, made once, and a ConfigMap with the hosts. Their launcher is made
// when everything it launches on is ready.
//
// A role may name an Accelerator. What it stands for is worked out when a pod is made and not before: a pod that runs is left alone
// whatever becomes of the Accelerator. Where it names a device class, the role's pods get their devices by a ResourceClaimTemplate.
//
// PodDefaults of the namespace are merged into pods when they are made, and not before either. A pod that contradicts one is not made.
//
// The pods of a gang are placed together or not at all, by what the cluster has for that (internal/gang). Where a scheduler has an
// object for a gang, it is made before the pods, and goes with the job's pods. Without such a scheduler placed pods that wait for
// the rest in vain are let go, once that is stored in status.gang.releases, and made anew later.
//
// A job with a queue is suspended by it, so to speak: until Kueue admits the job's Workload, and again when Kueue evicts it, it has no
// pods, and each eviction counts like a suspension. The Workload is made once. It outlives evictions, after which it is Kueue's
// to put back into the queue, and goes when the user suspends the job.
//
// +kubebuilder:rbac:groups=millrace.dev,resources=trainingjobs,verbs=get;list;watch;delete
// +kubebuilder:rbac:groups=millrace.dev,resources=trainingjobs/status,verbs=patch
// +kubebuilder:rbac:groups=millrace.dev,resources=poddefaults,verbs=get;list;watch
// +kubebuilder:rbac:groups=millrace.dev,resources=accelerators,verbs=get;list;watch
// +kubebuilder:rbac:groups=resource.k8s.io,resources=resourceclaimtemplates,verbs=get;create
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=get;create
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=events,verbs=list;watch
// +kubebuilder:rbac:groups=scheduling.k8s.io,resources=priorityclasses,verbs=get;list;watch
// +kubebuilder:rbac:groups=kueue.x-k8s.io,resources=workloads,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=kueue.x-k8s.io,resources=workloads/status,verbs=patch
// +kubebuilder:rbac:groups=kueue.x-k8s.io,resources=resourceflavors;workloadpriorityclasses,verbs=get;list;watch
// +kubebuilder:rbac:groups=resource.k8s.io,resources=devicetaintrules,verbs=get;list;watch
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,verbs=get;list;watch
// +kubebuilder:rbac:groups=scheduling.k8s.io;scheduling.volcano.sh;scheduling.x-k8s.io;scheduling.run.ai,resources=podgroups,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch
package trainingjob
