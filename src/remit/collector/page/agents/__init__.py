"""The screens about agents: the list, and the remit, the steps and the versions of one."""
