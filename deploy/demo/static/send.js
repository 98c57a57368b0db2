// Without script the button does the same.
document.getElementById("send").submit();
