"""The lab's controller: builds virtual Macs out of Linux namespaces, joins them, and lets people in."""
